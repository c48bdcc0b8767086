"""What the replica reads from: the part of `Ledger` that it uses."""

from collections.abc import Iterator
from typing import Protocol, TypeVar

from shared.directory.head import Head
from shared.directory.log import LogRow
from shared.directory.records.base import Record

R = TypeVar("R", bound=Record)


class Source(Protocol):
    """See `Ledger` for each."""

    def head(self) -> Head: ...

    def get(self, kind: type[R], key: str) -> R | None: ...

    def scan(self, kind: type[R], *, start: str | None = None, end: str | None = None) -> Iterator[R]: ...

    def log(self, after: int, until: int | None = None) -> Iterator[LogRow]: ...
