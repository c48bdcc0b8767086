"""How many OCSP responder certificates an issuer has signed lately."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from shared.directory.records.base import Record


@dataclass(frozen=True, kw_only=True)
class OcspQuota(Record):
    """`ocsp|<issuer>`: responder certificates signed since `since`, of all processes together."""

    KIND: ClassVar[str] = "ocsp"

    issuer_id: str
    since: datetime
    count: int

    @property
    def key(self) -> str:
        return ocsp_quota_key(self.issuer_id)


def ocsp_quota_key(issuer_id: str) -> str:
    return f"ocsp|{issuer_id}"
