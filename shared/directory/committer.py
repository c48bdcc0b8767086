"""Brings requests into the table, one transaction at a time, and finds out what became of each transaction.

docs/ledger.md tells the protocol. Correctness rests on two conditions that every transaction carries: the head's ETag,
and the INSERT of the next log row. Everything else here is about speed, fairness and unclear answers.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from enum import Enum, auto

from shared.context import Clock, Deadline
from shared.directory.batch import Batch, build_batch
from shared.directory.commit_queue import Committed, Pending
from shared.directory.errors import MalformedRow, OutcomeUnknown, StorageRefused, StorageUnavailable
from shared.directory.head import Head, StoredHead
from shared.directory.log import LogRow, decode_log_row, log_key
from shared.directory.pace import Pace
from shared.directory.partition import Partition
from shared.directory.plan import MAX_ROWS, Plan
from shared.directory.records.base import Row
from shared.directory.records.certificate import Certificate
from shared.directory.tables import backoff
from shared.directory.transaction import Snapshot
from shared.directory.turns import Turns
from shared.telemetry import commits
from shared.telemetry.recorder import recorder

RACES_BEFORE_TURN = 2
"""Lost races after which a writer asks the others to wait. Without it a 100-row writer starves beside small ones."""
_CONFLICT = frozenset({404, 409, 412})


class _Fate(Enum):
    """What became of a transaction, as far as the table tells."""

    APPLIED = auto()
    LOST = auto()
    """Another commit stands where its log row should; it can never be applied."""
    OPEN = auto()
    """Not applied yet."""
    UNREADABLE = auto()


class Committer:
    """Used by one thread at a time: the queue's."""

    def __init__(self, partition: Partition, clock: Clock) -> None:
        self._partition = partition
        self._clock = clock
        self._turns = Turns(partition, clock)
        self._pace = Pace()
        self._known_seq = 0
        """The highest seq seen so far: no head may be behind it."""
        self._cached: StoredHead | None = None
        """The head after our own last commit. It may be stale: then its ETag is, and the commit that asserts it fails.
        Rows are always read after it was current, so the argument in `Snapshot` holds for a cached head as well."""
        self._known_rows: tuple[str | None, dict[str, Row | None]] = (None, {})
        """The ETag of the head under which they stand so, and the rows that our own last commit read and wrote."""

    def commit_some(self, open_requests: Callable[[], Sequence[Pending]]) -> None:
        """One transaction with as many of the open requests, in order, as fit; settles at least the first of them."""
        lost = 0
        while requests := open_requests():
            with commits.observed_transaction(requests):
                if self._attempt(requests, lost):
                    return
            lost += 1
            commits.count_retry(commits.DECIDED_AGAIN)

    def _attempt(self, requests: Sequence[Pending], lost: int) -> bool:
        """False: nothing is settled, and all are to be decided again."""
        deadline = max((pending.deadline for pending in requests), key=lambda deadline: deadline.at)
        try:
            plan = self._decide(self._head(lost, deadline), requests, deadline)
            return self._commit(plan, deadline) if plan.changes_anything else self._confirm(plan, deadline)
        except (StorageUnavailable, StorageRefused, MalformedRow) as error:
            self._cached = None
            for pending in requests:
                pending.settle(error=error)
            return True

    def _head(self, lost: int, deadline: Deadline) -> StoredHead:
        stored = self._turns.wait_and_read(lost >= RACES_BEFORE_TURN, deadline, self._cached)
        self._cached = None
        if stored.head.seq < self._known_seq:
            raise MalformedRow(
                self._partition.head_key, f"it is behind {log_key(self._known_seq)}, which was committed"
            )
        self._known_seq = stored.head.seq
        return stored

    def _decide(self, stored: StoredHead, requests: Sequence[Pending], deadline: Deadline) -> Plan:
        candidates = requests[:1] if requests[0].alone else requests[:MAX_ROWS]
        wanted = set[str]().union(*(pending.wanted for pending in candidates))
        etag, rows = self._known_rows
        known = {key: rows[key] for key in wanted & rows.keys()} if stored.etag == etag else {}
        snapshot = Snapshot(self._partition, stored.head.next_ids, deadline, known)
        snapshot.load(sorted(wanted))
        plan = Plan(stored, snapshot, max(self._clock(), stored.head.time), self._partition.name)
        for pending in candidates:
            if not plan.add(pending):
                break
        return plan

    def _confirm(self, plan: Plan, deadline: Deadline) -> bool:
        """Answers refusals and "nothing to do", unless they rest on rows of two different states."""
        current = self._turns.read(deadline)
        if current.etag != plan.stored.etag:
            self._cached = current
            return False
        self._cached = self._turns.release(current) if self._turns.is_ours(current) else current
        _answer(plan, current.head)
        return True

    def _commit(self, plan: Plan, deadline: Deadline) -> bool:
        """Sends the plan's transaction and answers its requests. False: all are to be decided again."""
        pendings = [decision.pending for decision in plan.decisions]
        taken_off = [pending.take_off() for pending in pendings]
        applied = False
        try:
            if all(taken_off):
                log = plan.log_row(uuid.uuid4().hex)
                batch = self._batch(plan, log)
                self._pace.keep(batch.operations)
                applied = self._send(batch, log, plan.stored.after(log), deadline)
                commits.count_transaction(commits.APPLIED if applied else commits.LOST)
        except OutcomeUnknown as error:
            commits.count_transaction(commits.UNKNOWN)
            for pending in pendings:
                pending.settle(error=error)
            return True
        except StorageRefused:
            commits.count_transaction(commits.REFUSED)
            if len(pendings) == 1:
                raise
            for pending in pendings:  # one of them is at fault: the others must not pay for it
                pending.alone = True
        finally:
            for pending in pendings:
                pending.land()
        if applied:
            if self._cached and self._cached.head.seq == log.seq:
                self._known_rows = (self._cached.etag, plan.rows_after())
            _answer(plan, plan.stored.after(log))
            if recorder().recording:
                commits.count_certificates(plan.changes_of(Certificate.KIND))
        else:
            for decision in plan.decisions:
                decision.pending.wanted |= decision.written
        return applied

    def _batch(self, plan: Plan, log: LogRow) -> Batch:
        tables = self._partition.tables
        operations = plan.operations(log, self._partition.head_key)
        return build_batch(tables.url, tables.table, self._partition.name, operations, log.commit_id)

    def _send(self, batch: Batch, log: LogRow, head: Head, deadline: Deadline) -> bool:
        """Sends the transaction until it is known to be applied (True) or known never to be (False).

        Trusts no answer but success: a transaction that was applied and answered by an error, or sent twice on the
        way, conflicts with itself. What counts is the log. While our row is not there the transaction may still land,
        so the identical bytes go out again: of all copies, one at most can insert that row.

        Raises: OutcomeUnknown at the deadline; StorageRefused.
        """
        attempt = 0
        while not deadline.expired:
            attempt += 1
            if attempt > 1:
                commits.count_retry(commits.SENT_AGAIN)
            reply = self._partition.tables.transact(batch, deadline)
            if reply is not None and reply.status == 202:
                self._cached = StoredHead(head, reply.etags[0]) if reply.etags[0] else None
                return True
            fate = self._fate(log, deadline)
            if fate in (_Fate.APPLIED, _Fate.LOST):
                return fate is _Fate.APPLIED
            if reply is not None and reply.status in _CONFLICT and fate is _Fate.OPEN:
                # Looked at after the conflict. Either the head has left the ETag that every copy asserts, and ETags do
                # not come back; or it conflicts with a row of the very state it asserts. No copy can land any more.
                self._check_log_end(log, deadline)
                return False
            if reply is not None and reply.status not in _CONFLICT and attempt == 1:
                raise StorageRefused(f"The storage service refused a transaction with status {reply.status}.")
            time.sleep(min(backoff(attempt), deadline.remaining))
        raise OutcomeUnknown

    def _fate(self, log: LogRow, deadline: Deadline) -> _Fate:
        """Usually one read tells: the head has the hash of the last log row, and a hash covers the commit id."""
        try:
            current = self._turns.read(deadline)
            self._cached = current
            if current.head.seq < log.seq:
                return _Fate.OPEN
            if current.head.seq == log.seq:
                return _Fate.APPLIED if current.head.last_hash == log.hash else _Fate.LOST
            row = self._partition.get(log.key, deadline)
        except (StorageUnavailable, StorageRefused):
            self._cached = None
            return _Fate.UNREADABLE
        if row is None:
            raise MalformedRow(log.key, "the log row is missing")
        return _Fate.APPLIED if decode_log_row(log.key, row).commit_id == log.commit_id else _Fate.LOST

    def _check_log_end(self, log: LogRow, deadline: Deadline) -> None:
        """Tells a lost race from a log row that nobody committed, which would make every commit fail for ever."""
        if self._partition.get(log.key, deadline) is not None and self._turns.read(deadline).head.seq < log.seq:
            raise MalformedRow(log.key, "the log row stands beyond the head")


def _answer(plan: Plan, head: Head) -> None:
    for decision in plan.decisions:
        result = None if decision.error else Committed(decision.value, head.seq, head.time)
        decision.pending.settle(result, decision.error)
