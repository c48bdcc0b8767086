"""Brings requests into the table, one transaction at a time, and finds out what became of each transaction.

docs/ledger.md tells the protocol. Correctness rests on two conditions that every transaction carries: the head's ETag,
and the INSERT of the next log row. Everything else here is about speed, fairness and unclear answers.
"""

import time
import uuid
from collections.abc import Callable
from enum import Enum, auto

from shared.context import Clock, Deadline
from shared.directory.batch import Batch, build_batch
from shared.directory.commit_queue import Committed, Pending
from shared.directory.errors import (
    MalformedRow,
    OutcomeUnknown,
    StorageRefused,
    StorageUnavailable,
)
from shared.directory.head import HEAD_KEY, Head, StoredHead
from shared.directory.log import LogRow, decode_log_row, log_key
from shared.directory.partition import Partition
from shared.directory.plan import MAX_ROWS, Plan
from shared.directory.tables import backoff
from shared.directory.transaction import Snapshot
from shared.directory.turns import Turns

RACES_BEFORE_TURN = 2
"""Lost races after which a writer asks the others to wait. Without it a 100-row writer starves beside small ones."""
_CONFLICT = frozenset({404, 409, 412})


class _Seen(Enum):
    """What stands where our log row should."""

    OURS = auto()
    ANOTHERS = auto()
    NOTHING = auto()
    UNREADABLE = auto()


class Committer:
    """Used by one thread at a time: the queue's."""

    def __init__(self, partition: Partition, clock: Clock) -> None:
        self._partition = partition
        self._clock = clock
        self._turns = Turns(partition, clock)
        self._known_seq = 0
        """The highest seq known to be in the log: no head may be behind it."""
        self._cached: StoredHead | None = None
        """The head after our own last commit. It may be stale: then its ETag is, and the commit that asserts it fails.
        Rows are always read after it was current, so the argument in `Snapshot` holds for a cached head as well."""

    def commit_some(self, open_requests: Callable[[], list[Pending]]) -> None:
        """One transaction with as many of the open requests, in order, as fit; settles at least the first of them."""
        lost = 0
        while requests := open_requests():
            deadline = max((pending.deadline for pending in requests), key=lambda deadline: deadline.at)
            try:
                plan = self._decide(self._head(lost, deadline), requests, deadline)
                settled = self._commit(plan, deadline) if plan.changes_anything else self._confirm(plan, deadline)
            except (StorageUnavailable, StorageRefused, MalformedRow) as error:
                self._cached = None
                for pending in requests:
                    pending.settle(error=error)
                return
            if settled:
                return
            self._cached = None
            lost += 1

    def _head(self, lost: int, deadline: Deadline) -> StoredHead:
        stored = self._cached or self._turns.wait_and_read(lost >= RACES_BEFORE_TURN, deadline)
        if stored.head.seq < self._known_seq:
            raise MalformedRow(HEAD_KEY, f"it is behind {log_key(self._known_seq)}, which is in the log")
        return stored

    def _decide(self, stored: StoredHead, requests: list[Pending], deadline: Deadline) -> Plan:
        candidates = requests[:MAX_ROWS]
        snapshot = Snapshot(self._partition, stored.head.next_ids, deadline)
        snapshot.load(sorted(set[str]().union(*(pending.wanted for pending in candidates))))
        plan = Plan(stored, snapshot, max(self._clock(), stored.head.time), self._partition.name)
        for pending in candidates:
            if not plan.add(pending):
                break
        return plan

    def _confirm(self, plan: Plan, deadline: Deadline) -> bool:
        """Answers refusals and "nothing to do", unless they rest on rows of two different states."""
        current = self._turns.read(deadline)
        if current.etag != plan.stored.etag:
            return False
        self._cached = self._turns.release(current) if self._turns.is_ours(current) else current
        self._answer(plan, current.head)
        return True

    def _commit(self, plan: Plan, deadline: Deadline) -> bool:
        """Sends the plan's transaction and answers its requests. False: it lost a race and was not applied."""
        pendings = [decision.pending for decision in plan.decisions]
        applied = False
        try:
            taken_off = [pending.take_off() for pending in pendings]
            if all(taken_off):
                log = plan.log_row(uuid.uuid4().hex)
                tables = self._partition.tables
                operations = plan.operations(log)
                batch = build_batch(tables.url, tables.table, self._partition.name, operations, log.commit_id)
                applied = self._send(batch, log, plan.stored.after(log), deadline)
        except OutcomeUnknown as error:
            self._cached = None
            for pending in pendings:
                pending.settle(error=error)
            return True
        finally:
            for pending in pendings:
                pending.land()
        if applied:
            self._known_seq = plan.stored.head.seq + 1
            self._answer(plan, plan.stored.after(log))
        return applied

    def _answer(self, plan: Plan, head: Head) -> None:
        for decision in plan.decisions:
            result = None if decision.error else Committed(decision.value, head.seq, head.time)
            decision.pending.settle(result, decision.error)

    def _send(self, batch: Batch, log: LogRow, head: Head, deadline: Deadline) -> bool:
        """Sends the transaction until it is known to be applied (True) or known never to be (False).

        Never trusts an answer other than success: a transaction that was applied and answered by an error, or sent
        twice on the way, conflicts with itself. What counts is the log row. Where there is none, the transaction may
        still land, so the identical bytes go out again: of all copies, at most one can insert that row.

        Raises: OutcomeUnknown at the deadline; StorageRefused.
        """
        attempt = 0
        while not deadline.expired:
            attempt += 1
            reply = self._partition.tables.transact(batch, deadline)
            if reply is not None and reply.status == 202:
                self._cached = StoredHead(head, reply.etags[0]) if reply.etags[0] else None
                return True
            self._cached = None
            seen = self._look(log, deadline)
            if seen in (_Seen.OURS, _Seen.ANOTHERS):
                self._known_seq = log.seq
                return seen is _Seen.OURS
            if reply is not None and reply.status in _CONFLICT and seen is _Seen.NOTHING:
                # Looked at after the conflict: the head has left the ETag that every copy asserts, and ETags do not
                # come back, or the conflict is with a row of that very state. Either way no copy can land any more.
                return False
            if reply is not None and reply.status not in _CONFLICT and attempt == 1:
                raise StorageRefused(f"The storage service refused the transaction with {reply.status}.")
            time.sleep(min(backoff(attempt), deadline.remaining))
        raise OutcomeUnknown

    def _look(self, log: LogRow, deadline: Deadline) -> _Seen:
        try:
            row = self._partition.get(log.key, deadline)
            if row is None:
                return _Seen.NOTHING
            return _Seen.OURS if decode_log_row(log.key, row).commit_id == log.commit_id else _Seen.ANOTHERS
        except (StorageUnavailable, StorageRefused):
            return _Seen.UNREADABLE
