"""How the expiry notices fare: what their timer leaves behind for health, and for its own next run."""

import hashlib
import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from shared.directory.records.base import format_time, parse_time
from shared.directory.state import StateStore

NAME = "expiry_notices"


@dataclass(frozen=True, kw_only=True)
class NoticeStatus:
    """As of the end of the last run; None where there was none.

    Attributes:
        open, dead: notices to be delivered, and those given up.
        failing_since: since when no delivery has succeeded though some were tried.
        gone: the `receiver_name` that answered 410; nothing is sent there any more.
        paused_until: the receiver asked to be left alone until then.
    """

    finished_at: datetime | None = None
    open: int = 0
    dead: int = 0
    failing_since: datetime | None = None
    error: str | None = None
    gone: str | None = None
    paused_until: datetime | None = None


_TIMES = ("finished_at", "failing_since", "paused_until")


def receiver_name(url: str) -> str:
    """Tells one address from another without saying it: it may hold a key."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


class NoticeStatuses:
    """Keeps it outside the ledger: it changes at every run and is nobody's history."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def get(self) -> NoticeStatus:
        stored = self._state.get(NAME)
        if stored is None:
            return NoticeStatus()
        values = json.loads(stored.data)  # perhaps of another version of this app
        known = (each.name for each in fields(NoticeStatus) if each.name in values)
        return NoticeStatus(**{name: _read(name, values[name]) for name in known})

    def put(self, status: NoticeStatus) -> None:
        values = {each.name: getattr(status, each.name) for each in fields(status)}
        self._state.put(NAME, json.dumps(values, default=format_time).encode())


def _read(name: str, value: Any) -> Any:
    return parse_time(value) if name in _TIMES and isinstance(value, str) else value
