"""Starting the tenant sync."""

from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from shared.api.validation import RequestModel

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.entra.tenant_sync import SyncOrder


class StartSync(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"full": True}]})

    full: bool = Field(default=False, description="read and compare everything, even where the changes alone would do")

    def as_order(self) -> "SyncOrder":
        from shared.entra.tenant_sync import SyncOrder

        return SyncOrder(full=self.full)
