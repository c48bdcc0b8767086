"""The ledger of one tenant: every change is one atomic transaction that also writes the log (docs/ledger.md)."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from shared.context import Clock, Deadline, system_clock
from shared.directory.commit_queue import CommitQueue, Committed, Pending, Request
from shared.directory.committer import Committer
from shared.directory.errors import MalformedRow
from shared.directory.head import HEAD_KEY, Head
from shared.directory.log import LogChange, LogOperation, LogRow, decode_log_row, log_key
from shared.directory.partition import Partition, prefix_end
from shared.directory.records.base import Record, Row
from shared.directory.rehearsal import rehearse
from shared.directory.tables import TableStore
from shared.directory.transaction import Transaction
from shared.directory.turns import Turns
from shared.errors import AppError

__all__ = [
    "Committed",
    "Head",
    "Ledger",
    "LogChange",
    "LogOperation",
    "LogRow",
    "Request",
    "Transaction",
]

T = TypeVar("T")
R = TypeVar("R", bound=Record)

_LAST_SEQ = 10**16 - 1


class Ledger:
    """Records, their history, and the only way to change them. Safe to share between threads.

    All methods raise StorageUnavailable (503), StorageRefused (500) and MalformedRow (500).
    """

    def __init__(
        self, tables: TableStore, tenant_id: str, *, clock: Clock = system_clock, head_key: str = HEAD_KEY
    ) -> None:
        """`head_key`: see Partition."""
        self._partition = Partition(tables, tenant_id, head_key)
        self._clock = clock
        self._heads = Turns(self._partition, clock)
        self._queue = CommitQueue(Committer(self._partition, clock).commit_some)

    @property
    def tenant_id(self) -> str:
        return self._partition.name

    @property
    def partition(self) -> Partition:
        """The rows behind the ledger, for the audit. Whoever writes them bypasses the log."""
        return self._partition

    def commit(self, request: Request[T], deadline: Deadline) -> Committed[T]:
        """Decides and commits one request, perhaps together with those of other threads.

        Raises: what `decide` raised; OutcomeUnknown; LedgerBusy (not applied).
        """
        pending = _pending(request, deadline)
        self._queue.submit([pending])
        return _result(pending)

    def commit_all(self, requests: Sequence[Request[T]], deadline: Deadline) -> list[Committed[T] | AppError]:
        """Commits many requests in as few transactions as carry them. Each is atomic on its own, in order.

        A request that was refused or whose outcome is unknown has its error in the list.
        """
        pendings = [_pending(request, deadline) for request in requests]
        self._queue.submit(pendings)
        return [pending.error if isinstance(pending.error, AppError) else _result(pending) for pending in pendings]

    def rehearse(self, requests: Sequence[Request[T]], deadline: Deadline) -> list[T | AppError]:
        """What each request, alone, would decide now: its value, or its refusal. Nothing is written."""
        decided = rehearse(self._partition, self.head(), self._clock(), requests, deadline)
        return list(decided)

    def head(self) -> Head:
        """One point read."""
        return self._heads.read().head

    def get(self, kind: type[R], key: str) -> R | None:
        """One point read."""
        row = self._partition.get(key)
        return None if row is None else kind.from_row(row)

    def get_many(self, kind: type[R], keys: Sequence[str]) -> dict[str, R]:
        """Parallel point reads; keys that are not there are left out."""
        return {key: kind.from_row(row) for key, row in self._partition.get_many(keys).items()}

    def scan(self, kind: type[R], *, start: str | None = None, end: str | None = None) -> Iterator[R]:
        """The records of a kind with start ≤ key < end, ordered by key; not a snapshot of one moment.

        A whole kind whose keys are ids (`Record.SEQUENCE`) is read in parallel.
        """
        prefix = f"{kind.KIND}|"
        if kind.SEQUENCE and start is None and end is None:
            rows = self._partition.scan_ids(kind.KIND, self._last_id(kind.SEQUENCE))
        else:
            rows = self._partition.scan(start or prefix, end or prefix_end(prefix))
        for _, row in rows:
            yield kind.from_row(row)

    def replicated_rows(self, kind: type[Record]) -> Iterator[Row]:
        """What the replica repeats of every record of a kind, ordered by key; nothing else is read."""
        if kind.SEQUENCE:
            rows = self._partition.scan_ids(kind.KIND, self._last_id(kind.SEQUENCE), kind.REPLICATED)
        else:
            prefix = f"{kind.KIND}|"
            rows = self._partition.scan(prefix, prefix_end(prefix))
        for _, row in rows:
            yield {name: row[name] for name in kind.REPLICATED if name in row}

    def log(self, after: int, until: int | None = None) -> Iterator[LogRow]:
        """The log rows with after < seq ≤ until, in order. Raises MalformedRow where one is missing."""
        expected = after + 1
        end = log_key(_LAST_SEQ if until is None else until + 1)
        for key, row in self._partition.scan(log_key(expected), end):
            log = decode_log_row(key, row)
            if log.seq != expected:
                raise MalformedRow(log_key(expected), "the log row is missing")
            expected += 1
            yield log

    def _last_id(self, sequence: str) -> int:
        return self.head().next_ids.get(sequence, 1) - 1


def _pending(request: Request[T], deadline: Deadline) -> Pending:
    return Pending(request, deadline, {key for _, key in request.reads})


def _result(pending: Pending) -> Committed[T]:
    if pending.error is not None:
        raise pending.error
    assert pending.result is not None  # settled: one of the two is there
    return pending.result
