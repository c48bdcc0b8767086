"""API tokens: what is kept of them, which is never the token itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from shared.directory.records.base import Record


@dataclass(frozen=True, kw_only=True)
class ApiToken(Record):
    """One API token with Laravel Sanctum's semantics. Revoked ones stay, so that the log's actors keep their names."""

    KIND: ClassVar[str] = "token"
    SEQUENCE: ClassVar[str] = "token"

    id: int
    name: str
    abilities: tuple[str, ...]
    """`*` grants everything; any other is the exact name of a permission."""
    secret_sha256: str
    """Of what follows the `|`, lower-case hex. The secret is random, so it needs neither salt nor a slow hash."""
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def key(self) -> str:
        return api_token_key(self.id)

    def is_usable(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def api_token_key(token_id: int) -> str:
    return f"token|{token_id:010d}"
