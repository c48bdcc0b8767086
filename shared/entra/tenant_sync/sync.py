"""Keeps the directory in step with the whole tenant: one full round, then only what changes (docs/sync.md)."""

import contextlib
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.context import Clock, Context, Deadline, system_clock
from shared.directory.events import UserObserver
from shared.directory.ledger import Ledger
from shared.directory.state import StateStore
from shared.entra.entra_user import SELECT
from shared.entra.graph.client import GraphClient, GraphUsage
from shared.entra.graph.collections import GraphCollections
from shared.entra.graph.users import GraphUsers
from shared.entra.group_names import GroupNames
from shared.entra.tenant_sync.checkpoint import Checkpoint, CheckpointStore, Round
from shared.entra.tenant_sync.group_graph_store import GroupGraphStore
from shared.entra.tenant_sync.lease import LEASE_TIME, Fencing, LeaseKeeper, LeaseLost, LeaseTaken
from shared.entra.tenant_sync.preview import Preview, Previewer
from shared.entra.tenant_sync.report import (
    Counts,
    Mode,
    Outcome,
    Phase,
    SyncError,
    SyncProgress,
    SyncReport,
    SyncStatus,
)
from shared.entra.tenant_sync.run import SyncRun
from shared.entra.tenant_sync.status import progress_of, status_of
from shared.entra.tenant_sync.work import ListingNotCredible, OutOfTime, SyncPolicy, SyncWork
from shared.entra.tenant_sync.writer import SyncWriter
from shared.entra.user_changes import UserChanges
from shared.errors import AppError
from shared.telemetry.recorder import recorder
from shared.telemetry.syncs import tell_sync

log = logging.getLogger("shared.entra.tenant_sync")

LEASE_NAME = "tenant-sync|lease"
FULL_ROUND_EVERY = timedelta(days=7)
"""A change that Entra once left out of a delta is never told again: only comparing everything finds it."""
STATUS_LIFE = timedelta(seconds=2)
"""How long a status may be repeated: API calls ask for it often."""

Watch = Callable[[SyncProgress], None]
"""Told after every step of a run."""


@dataclass(frozen=True)
class SyncOrder:
    """What an operator may ask of a run.

    Attributes:
        full: begin a full round even where changes alone would do.
        accept_removals: record all departures, however many.
    """

    full: bool = False
    accept_removals: bool = False


ORDINARY = SyncOrder()


class TenantSync:
    """The tenant sync of one process. Any number of processes may have one: a lease lets one of them work.

    Args:
        graph: a client of low priority.
        observers: told of every changed user, inside the transaction.
        lease_time: how long after its last sign of life a runner is taken for dead.
    """

    def __init__(
        self,
        ledger: Ledger,
        state: StateStore,
        graph: GraphClient,
        policy: SyncPolicy,
        *,
        observers: Sequence[UserObserver] = (),
        clock: Clock = system_clock,
        lease_time: timedelta = LEASE_TIME,
    ) -> None:
        self._ledger = ledger
        self._state = state
        self._graph = graph
        self._policy = policy
        self._clock = clock
        self._lease_time = lease_time
        self._changes = UserChanges(observers, frozenset(policy.group_ids))
        self._names = GroupNames(ledger)
        self._status: tuple[float, SyncStatus] | None = None
        self._last_success_at: datetime | None = None
        self._lock = threading.Lock()

    def run(self, context: Context, order: SyncOrder = ORDINARY, watch: Watch | None = None) -> SyncReport:
        """Starts or continues a round, for as long as the policy's time budget, and reports. Raises no AppError."""
        started = _Start(self._clock(), self._graph.usage)
        keeper = self._keeper()
        try:
            fencing = keeper.take(_owner(context))
        except AppError as error:
            outcome = Outcome.BUSY if isinstance(error, LeaseTaken) else Outcome.FAILED
            return self._told(self._report(started, outcome, None, error), context)
        return self._run_leased(started, keeper, fencing, context, order, watch)

    def start(self, context: Context, order: SyncOrder = ORDINARY) -> None:
        """As `run`, but returns as soon as the run is sure to be the only one; it goes on in a thread.

        If the process ends before the run does, the timer's next run goes on from the last step.
        Raises: LeaseTaken; the state store's errors.
        """
        started = _Start(self._clock(), self._graph.usage)
        keeper = self._keeper()
        fencing = keeper.take(_owner(context))
        self._status = None
        arguments = (started, keeper, fencing, context, order, None)
        threading.Thread(target=self._run_leased, args=arguments, name="tenant-sync", daemon=True).start()

    def preview(self, context: Context, watch: Callable[[Preview], None] | None = None) -> Preview:
        """What a full round would do. Writes nothing. Raises GraphError; the ledger's errors."""
        clock = self._clock
        return Previewer(self._ledger, self._graph, self._changes, self._policy, clock, context, watch).run()

    def status(self) -> SyncStatus:
        """Where the sync stands, at most two seconds old. Raises StorageUnavailable, StorageRefused."""
        with self._lock:
            if self._status is None or time.monotonic() - self._status[0] > STATUS_LIFE.total_seconds():
                checkpoint = CheckpointStore(self._state).load()
                self._status = time.monotonic(), status_of(checkpoint, self._keeper().current(), self._clock())
            return self._status[1]

    def _keeper(self) -> LeaseKeeper:
        return LeaseKeeper(self._state, LEASE_NAME, clock=self._clock, lease_time=self._lease_time)

    def _run_leased(
        self,
        started: "_Start",
        keeper: LeaseKeeper,
        fencing: Fencing,
        context: Context,
        order: SyncOrder,
        watch: Watch | None,
    ) -> SyncReport:
        try:
            with recorder().span("sync"):
                return self._told(self._run_alone(started, keeper, fencing, context, order, watch), context)
        finally:
            with contextlib.suppress(AppError):  # it ends by itself
                keeper.give_back()

    def _run_alone(
        self,
        started: "_Start",
        keeper: LeaseKeeper,
        fencing: Fencing,
        context: Context,
        order: SyncOrder,
        watch: Watch | None,
    ) -> SyncReport:
        store = CheckpointStore(self._state)
        try:
            checkpoint = store.load()
        except AppError as error:
            return self._report(started, Outcome.FAILED, None, error)
        deadline = Deadline.after(self._policy.time_budget)
        writer = SyncWriter(self._ledger, self._changes, fencing, context, rows_per_second=self._policy.rows_per_second)
        graph = GroupGraphStore(self._state, checkpoint.graph, fencing.number)
        started.mode = self._prepare(checkpoint, graph, fencing, order)

        def breathe() -> None:
            keeper.renew()
            if deadline.expired:
                raise OutOfTime

        work = SyncWork(
            self._ledger,
            GraphCollections(self._graph, self._clock),
            GraphUsers(self._graph),
            self._names,
            self._changes,
            writer,
            graph,
            checkpoint,
            self._policy,
            self._clock,
            order.accept_removals,
            keeper.renew,
            breathe,
            started.counts,
        )
        failure: AppError | None = None
        try:
            outcome = self._work(work, store, watch)
        except AppError as error:
            failure = error
            outcome = Outcome.INCOMPLETE if isinstance(error, ListingNotCredible) else Outcome.FAILED
        report = self._report(started, outcome, checkpoint, failure)
        self._last_success_at = checkpoint.last_success_at
        self._keep(report, checkpoint, store, failure)
        return report

    def _prepare(self, checkpoint: Checkpoint, graph: GroupGraphStore, fencing: Fencing, order: SyncOrder) -> Mode:
        """Opens a round if none is under way: a full one where changes alone would not do."""
        if checkpoint.lease != fencing.number - 1:  # somebody took the lease and never got to save
            graph.disown(range(checkpoint.lease, fencing.number))
        checkpoint.lease = fencing.number
        settings = self._settings()
        same = checkpoint.settings == settings
        linked = checkpoint.users_link is not None and checkpoint.groups_link is not None
        underway = same and checkpoint.round is not None
        changes_suffice = same and linked and not self._full_round_is_due(checkpoint)
        if order.full or not (underway or changes_suffice):
            checkpoint.round = Round(Mode.FULL, Phase.TOKENS, self._clock())
        elif not underway:
            checkpoint.round = Round(
                Mode.DELTA,
                Phase.GROUP_CHANGES,
                self._clock(),
                users_link=checkpoint.users_link,
                groups_link=checkpoint.groups_link,
            )
        checkpoint.settings = settings
        assert checkpoint.round is not None
        return checkpoint.round.mode

    def _full_round_is_due(self, checkpoint: Checkpoint) -> bool:
        """Also after a clock that was far ahead has been set back."""
        last = checkpoint.full_round_at
        return last is None or abs(self._clock() - last) > FULL_ROUND_EVERY

    def _settings(self) -> str:
        """What links and graph depend on: another tenant, cloud, scope or set of properties needs a full round."""
        parts = [self._ledger.tenant_id, self._graph.url(""), SELECT, sorted(self._policy.group_ids)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _work(self, work: SyncWork, store: CheckpointStore, watch: Watch | None) -> Outcome:
        def tell() -> None:
            if watch is not None and work.checkpoint.round is not None:
                watch(progress_of(work.checkpoint.round, self._clock()))

        run = SyncRun(work, store, tell)
        try:
            return run.run()
        finally:
            run.close()
            work.collections.close()

    def _keep(self, report: SyncReport, checkpoint: Checkpoint, store: CheckpointStore, error: AppError | None) -> None:
        """The last word of a run. A runner that was overtaken has none; storage that fails keeps the word before."""
        if isinstance(error, LeaseLost):
            return
        checkpoint.last_run = report
        if error is not None:
            checkpoint.note_error(SyncError(report.finished_at, error.code, error.message))
        try:
            store.save(checkpoint)
        except AppError as failed:
            log.warning("tenant_sync: its report could not be kept: %s", failed.message)

    def _report(
        self, started: "_Start", outcome: Outcome, checkpoint: Checkpoint | None, error: AppError | None = None
    ) -> SyncReport:
        current = checkpoint.round if checkpoint else None
        used = self._graph.usage.since(started.usage)
        return SyncReport(
            outcome=outcome,
            mode=started.mode or (current.mode if current else Mode.DELTA),
            phase=current.phase if current else Phase.FINISH,
            started_at=started.at,
            finished_at=self._clock(),
            counts=started.counts,
            requests=used.requests,
            resource_units=used.resource_units,
            throttled=used.throttled,
            error_code=error.code if error else None,
            error=error.message if error else None,
        )

    def _told(self, report: SyncReport, context: Context) -> SyncReport:
        self._status = None
        tell_sync(report, self._last_success_at, context)
        return report


def _owner(context: Context) -> str:
    return f"{context.actor.kind} {context.actor.id}"


@dataclass
class _Start:
    """What a run's report is reckoned from."""

    at: datetime
    usage: GraphUsage
    counts: Counts = field(default_factory=Counts)
    mode: Mode | None = None
