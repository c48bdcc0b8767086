"""Which page of a list is asked for."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator

from shared.api.validation import IN_A_QUERY, MAX_ID, QueryModel


class Paged(QueryModel):
    per_page: Annotated[int, Field(ge=1, le=100), IN_A_QUERY] = 15
    page: Annotated[int, Field(ge=1, le=MAX_ID), IN_A_QUERY] = 1

    @model_validator(mode="before")
    @classmethod
    def _empty_means_absent(cls, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Laravel's TrimStrings and ConvertEmptyStringsToNull; an empty `recently_synced` means a day."""
        trimmed = {name: value.strip(" ") for name, value in parameters.items()}
        present = {name: value for name, value in trimmed.items() if value != ""}
        if trimmed.get("recently_synced") == "":
            present["recently_synced"] = "24"
        return present
