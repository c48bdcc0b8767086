"""Purges that have begun: a row that stands until the last trace is gone, so that one that died is gone on with."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from shared.directory.records.base import Record


@dataclass(frozen=True, kw_only=True)
class UnfinishedPurge(Record):
    """`purging|<user>`: the record of the user is erased; certificates, log or snapshots may not be yet."""

    KIND: ClassVar[str] = "purging"

    user_id: int
    started_at: datetime

    @property
    def key(self) -> str:
        return unfinished_purge_key(self.user_id)


def unfinished_purge_key(user_id: int) -> str:
    return f"purging|{user_id:010d}"
