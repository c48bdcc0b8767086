"""Expiry notices on their way: a row stands here until its notice is delivered, or no longer worth it."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from shared.directory.records.base import Record


@dataclass(frozen=True, kw_only=True)
class ExpiryNotice(Record):
    """`notice|<certificate>|<days>`: to be delivered to the webhook. The log keeps what was raised and delivered."""

    KIND: ClassVar[str] = "notice"

    certificate_id: int
    days: int
    """Before the certificate's end."""
    not_after: datetime
    """The certificate's."""
    raised_at: datetime
    attempts: int = 0
    next_attempt_at: datetime
    error: str | None = None
    """What the last attempt came to."""
    dead: bool = False
    """No further attempts, unless an operator asks for them."""

    @property
    def key(self) -> str:
        return expiry_notice_key(self.certificate_id, self.days)


def expiry_notice_key(certificate_id: int, days: int) -> str:
    return f"notice|{certificate_id:010d}|{days:03d}"
