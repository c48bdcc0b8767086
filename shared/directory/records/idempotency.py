"""What an `Idempotency-Key` was used for, so that a repeated request does not issue a second certificate."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from shared.directory.records.base import Record


@dataclass(frozen=True, kw_only=True)
class IdempotentRequest(Record):
    """`idem|<hash>`: one caller's key, bound to one body and one certificate."""

    KIND: ClassVar[str] = "idem"

    key_sha256: str
    """Of the caller and the key that it sent: neither is stored."""
    body_sha256: str
    """Of the request without its password."""
    certificate_id: int
    created_at: datetime
    expires_at: datetime
    """From then on the key may be used for something else."""

    @property
    def key(self) -> str:
        return idempotency_key(self.key_sha256)


def idempotency_key(key_sha256: str) -> str:
    return f"idem|{key_sha256}"
