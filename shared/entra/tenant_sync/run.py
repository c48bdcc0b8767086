"""One run of the tenant sync: takes up the round where the last run left it, and goes step by step until all is in
step or the time is used up. docs/sync.md tells the whole story."""

from collections.abc import Callable, Mapping

from shared.entra.graph.errors import PageTokenExpired, ResyncRequired
from shared.entra.tenant_sync.checkpoint import CheckpointStore, Round
from shared.entra.tenant_sync.group_graph_store import GroupGraphLost
from shared.entra.tenant_sync.group_steps import GroupSteps
from shared.entra.tenant_sync.removal_steps import RemovalSteps
from shared.entra.tenant_sync.report import Mode, Outcome, Phase
from shared.entra.tenant_sync.user_steps import UserSteps
from shared.entra.tenant_sync.work import OutOfTime, SyncWork

RESTARTS = 5
"""Times that a collection, or the whole round, may begin anew within one run."""
MANY_RECHECKS = 500
"""Users to be asked for one by one are gathered, to fill batches; not endlessly, as the checkpoint holds them."""


class SyncRun:
    """Runs the steps; the checkpoint is saved after each."""

    def __init__(self, work: SyncWork, store: CheckpointStore, watch: Callable[[], None]) -> None:
        self._work = work
        self._store = store
        self._watch = watch
        self._restarts = 0
        self._begin_steps()

    def close(self) -> None:
        self._users.close()

    def run(self) -> Outcome:
        """Raises AppError; the checkpoint then says what was done before."""
        self._work.look_again(list(self._work.checkpoint.broken))
        try:
            while self._work.checkpoint.round is not None:
                self._step()  # at least one, however little time there is
                self._store.save(self._work.checkpoint)
                self._watch()
                if self._work.checkpoint.round is not None:
                    self._work.breathe()
        except OutOfTime:
            return Outcome.CONTINUED
        return Outcome.HELD if self._work.checkpoint.held else Outcome.COMPLETED

    def _begin_steps(self) -> None:
        work = self._work
        self._groups = GroupSteps(work)
        self._users = UserSteps(work)
        self._removals = RemovalSteps(work, self._users)
        self._steps: Mapping[Phase, Callable[[], None]] = {
            Phase.TOKENS: self._take_tokens,
            Phase.GROUPS: self._groups.snapshot_page,
            Phase.USERS: self._users.listing_page,
            Phase.GROUP_CHANGES: self._groups.changes_page,
            Phase.USER_CHANGES: self._users.changes_page,
            Phase.MEMBERSHIPS: self._groups.tell_members,
            Phase.REMOVALS: self._removals.remove,
            Phase.FINISH: self._finish,
        }

    def _step(self) -> None:
        current = self._work.round
        try:
            if self._rechecks_are_due(current):
                self._users.look_again()
            else:
                self._steps[current.phase]()
        except PageTokenExpired:
            if self._too_many_restarts():
                raise
            current.begin_listing()
        except (ResyncRequired, GroupGraphLost):
            if self._too_many_restarts():
                raise
            self._users.close()
            self._work.checkpoint.round = Round(Mode.FULL, Phase.TOKENS, self._work.now())
            self._begin_steps()

    def _rechecks_are_due(self, current: Round) -> bool:
        """When many have gathered, and before what follows relies on them."""
        waiting = len(self._work.checkpoint.rechecks)
        settled = current.phase in (Phase.REMOVALS, Phase.FINISH) or (
            current.phase is Phase.MEMBERSHIPS and current.position == 0
        )
        return waiting >= MANY_RECHECKS or (settled and waiting > 0)

    def _too_many_restarts(self) -> bool:
        self._restarts += 1
        return self._restarts > RESTARTS

    def _take_tokens(self) -> None:
        """First of all: whatever changes from here on is told by the deltas, whatever the listings miss."""
        work, current = self._work, self._work.round
        current.groups_link = work.collections.groups_delta_from_now()
        current.users_link = work.collections.users_delta_from_now()
        current.expected = work.collections.count_users()
        work.graph.start_anew()
        current.enter(Phase.GROUPS)

    def _finish(self) -> None:
        """All is in step with what the links say: the next round goes on from there."""
        checkpoint, current = self._work.checkpoint, self._work.round
        self._work.graph.told()
        self._work.graph.compact()
        checkpoint.users_link, checkpoint.groups_link = current.users_next, current.groups_next
        if checkpoint.held is None:
            checkpoint.last_success_at = self._work.now()
        checkpoint.round_started_at = current.started_at
        if current.mode is Mode.FULL:
            checkpoint.full_round_at = current.started_at
        checkpoint.round = None
        if checkpoint.graph.garbage:
            self._store.save(checkpoint)
            self._work.graph.sweep()
