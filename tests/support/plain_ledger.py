"""A ledger in memory: the reading half of `Ledger` on plain objects, for feeding a replica directly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from shared.context import Actor, ActorKind
from shared.directory.head import Head, empty_head
from shared.directory.log import LogChange, LogOperation, LogRow, changed, log_row
from shared.directory.records.base import Record, Row
from shared.directory.records.certificate import Certificate
from shared.directory.records.user import User

R = TypeVar("R", bound=Record)

ACTOR = Actor(ActorKind.OPERATOR, "test")
TIME = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass
class PlainLedger:
    """Every commit is one log row. What stands in `records` without having been committed is older than the log."""

    tenant_id: str
    records: dict[str, Record] = field(default_factory=dict)
    log_rows: list[LogRow] = field(default_factory=list)
    head_reads: int = 0

    def commit(self, *records: Record, deleted: Sequence[str] = ()) -> int:
        """Writes the records and removes the keys; returns the seq."""
        changes = [changed(record.key, record.to_row(), record.replicated_row()) for record in records]
        changes += [LogChange(key, None) for key in deleted]
        operation = LogOperation("test.changed", ACTOR, "request", tuple(changes))
        head = self._head()
        self.records.update({record.key: record for record in records})
        self.log_rows.append(
            log_row(head.seq + 1, TIME, "commit", head.last_hash, self._next_ids(head, records), (operation,))
        )
        for key in deleted:
            self.records.pop(key, None)
        return head.seq + 1

    def purge_from_log(self, key: str) -> None:
        """Erases what the log says of a record, as a purge does."""

        def erased(change: LogChange) -> LogChange:
            return replace(change, data=None) if change.key == key else change

        self.log_rows = [
            replace(
                row,
                operations=tuple(
                    replace(operation, changes=tuple(map(erased, operation.changes))) for operation in row.operations
                ),
            )
            for row in self.log_rows
        ]

    def head(self) -> Head:
        self.head_reads += 1
        return self._head()

    def get(self, kind: type[R], key: str) -> R | None:
        record = self.records.get(key)
        return record if isinstance(record, kind) else None

    def get_many(self, kind: type[R], keys: Sequence[str]) -> dict[str, R]:
        found = {key: self.get(kind, key) for key in keys}
        return {key: record for key, record in found.items() if record is not None}

    def scan(self, kind: type[R], *, start: str | None = None, end: str | None = None) -> Iterator[R]:
        for key, record in sorted(self.records.items()):
            if isinstance(record, kind) and (start is None or key >= start) and (end is None or key < end):
                yield record

    def replicated_rows(self, kind: type[Record]) -> Iterator[Row]:
        return (record.replicated_row() for record in self.scan(kind))

    def log(self, after: int, until: int | None = None) -> Iterator[LogRow]:
        yield from self.log_rows[after : len(self.log_rows) if until is None else until]

    @staticmethod
    def _next_ids(head: Head, records: Sequence[Record]) -> dict[str, int]:
        next_ids = dict(head.next_ids)
        for record in records:
            if isinstance(record, User | Certificate) and record.SEQUENCE:
                next_ids[record.SEQUENCE] = max(next_ids.get(record.SEQUENCE, 1), record.id + 1)
        return next_ids

    def _head(self) -> Head:
        if not self.log_rows:
            return empty_head(self.tenant_id).head
        last = self.log_rows[-1]
        return Head(last.seq, last.time, last.hash, last.next_ids)
