"""What the replica reads from: the part of `Ledger` that it uses."""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from shared.directory.head import Head
from shared.directory.log import LogRow
from shared.directory.records.base import Record, Row

R = TypeVar("R", bound=Record)

LARGE = 50_000
"""Rows up to which a replica is built while a request waits (some seconds); larger ones are built in the background,
and from snapshots."""


class Source(Protocol):
    """See `Ledger` for each."""

    def head(self) -> Head: ...

    def get(self, kind: type[R], key: str) -> R | None: ...

    def get_many(self, kind: type[R], keys: Sequence[str]) -> dict[str, R]: ...

    def scan(self, kind: type[R], *, start: str | None = None, end: str | None = None) -> Iterator[R]: ...

    def replicated_rows(self, kind: type[Record]) -> Iterator[Row]: ...

    def log(self, after: int, until: int | None = None) -> Iterator[LogRow]: ...


def row_count(head: Head) -> int:
    """About how many rows the replica of a directory has to hold."""
    return sum(head.next_ids.get(sequence, 1) - 1 for sequence in ("user", "certificate"))
