"""The requests of this process that wait to be committed, first come first served.

All threads share commits: while one transaction is on its way, what arrives meanwhile gathers and goes out together in
the next. One thread writes; each caller waits for its own request, until its own deadline.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from shared.context import Context, Deadline
from shared.directory.errors import LedgerBusy, OutcomeUnknown
from shared.directory.records.base import Record
from shared.directory.transaction import Transaction
from shared.telemetry.commits import observed_commit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One change to the ledger, decided and committed as a whole.

    Attributes:
        action: what the audit log says was done: "user.synced".
        context: who asks; its deadline is not used here.
        decide: looks at the transaction and stages changes; may raise AppError to refuse. It may run several times and
            must have no other effect.
        reads: rows that `decide` will want, read in parallel beforehand; a hint.
    """

    action: str
    context: Context
    decide: Callable[[Transaction], T]
    reads: Sequence[tuple[type[Record], str]] = ()


@dataclass(frozen=True, slots=True)
class Committed(Generic[T]):
    """What `decide` returned, and where it stands: `seq` of its log row, or of the head where nothing changed."""

    value: T
    seq: int
    time: datetime


@dataclass(eq=False)
class Pending:
    """A request on its way: waiting, or in flight, or settled."""

    request: Request[Any]
    deadline: Deadline
    wanted: set[str] = field(default_factory=set)
    """Row keys to read before deciding: hints, and what an earlier attempt read or tried to write."""
    result: Committed[Any] | None = None
    error: BaseException | None = None
    alone: bool = False
    """To be sent in a transaction of its own, after one that it was in was refused as wrong."""
    origin: object | None = None
    """Where the caller's trace stands."""
    _in_flight: bool = False
    _settled: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_open(self) -> bool:
        """Still to be decided. One whose deadline has passed is settled here: it was not applied."""
        if not self._settled.is_set() and self.deadline.expired:
            self.settle(error=LedgerBusy())
        return not self._settled.is_set()

    def take_off(self) -> bool:
        """To be called before a transaction that carries it is sent; False if the caller has already left."""
        with self._lock:
            self._in_flight = not self._settled.is_set()
            return self._in_flight

    def land(self) -> None:
        """The transaction that carried it is known not to be applied."""
        with self._lock:
            self._in_flight = False

    def settle(self, result: Committed[Any] | None = None, error: BaseException | None = None) -> None:
        with self._lock:
            if not self._settled.is_set():
                self.result, self.error = result, error
                self._settled.set()

    def wait(self) -> None:
        """Returns when it is settled, at the deadline at the latest: then as unknown if a transaction is under way."""
        if not self._settled.wait(self.deadline.remaining):
            with self._lock:
                in_flight = self._in_flight
            self.settle(error=OutcomeUnknown() if in_flight else LedgerBusy())


class CommitQueue:
    """Waiting requests, and the one thread that commits them."""

    def __init__(self, commit_some: Callable[[Callable[[], list[Pending]]], None]) -> None:
        """`commit_some` is given a view of the open requests in order and settles at least the first."""
        self._commit_some = commit_some
        self._waiting: deque[Pending] = deque()
        self._lock = threading.Lock()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ledger-writer")

    def submit(self, requests: Sequence[Pending]) -> None:
        """Returns when all are settled."""
        with observed_commit(requests):
            with self._lock:
                self._waiting.extend(requests)
            self._writer.submit(self._drain)
            for pending in requests:
                pending.wait()

    def open_requests(self) -> list[Pending]:
        """The requests still to be decided, in order; settled ones leave the queue here."""
        with self._lock:
            still_open = [pending for pending in self._waiting if pending.is_open]
            self._waiting = deque(still_open)
        return still_open

    def _drain(self) -> None:
        while self.open_requests():
            try:
                self._commit_some(self.open_requests)
            except BaseException as error:  # noqa: BLE001  (callers wait: a defect must reach them, not hang them)
                for pending in self.open_requests():
                    pending.settle(error=error)
