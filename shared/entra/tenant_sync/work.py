"""What the steps of a tenant sync share: the directory on both sides, and where the round stands."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from shared.context import Clock
from shared.directory.ledger import Ledger
from shared.entra.graph.collections import GraphCollections
from shared.entra.graph.errors import GraphError
from shared.entra.graph.users import GraphUsers
from shared.entra.group_names import GroupNames
from shared.entra.tenant_sync.checkpoint import Checkpoint, Round
from shared.entra.tenant_sync.group_graph_store import GroupGraphStore
from shared.entra.tenant_sync.removal_guard import RemovalPolicy
from shared.entra.tenant_sync.report import Counts, SyncError
from shared.entra.tenant_sync.writer import SyncWriter, Written
from shared.entra.user_changes import CertificatesAtStake, LookAgain, UserChanges


class SyncPolicy(RemovalPolicy, Protocol):
    """What an operator decides about the tenant sync (shared.settings.model.SyncSettings)."""

    @property
    def group_ids(self) -> tuple[str, ...]:
        """Object ids of the groups whose members, transitive, are kept in step; empty means everybody."""

    @property
    def time_budget(self) -> timedelta:
        """After which a run stops, to be continued."""

    @property
    def rows_per_second(self) -> int:
        """The pace of writing; Azure's limit is 2,000 a second for one tenant's rows."""


class OutOfTime(Exception):
    """The run's time is used up; what is done so far is worth keeping."""


class ListingNotCredible(GraphError):
    """Entra's listing is much shorter than it should be; it is no ground for taking anything from anybody."""

    status, code = 502, "listing_not_credible"


@dataclass
class SyncWork:
    """One run's means.

    Attributes:
        accept_removals: an operator has said that all removals are right.
        renew: to be called between the pieces of a step that is done as a whole: keeps the lease.
        breathe: between pieces that are worth keeping alone: keeps the lease too, raises OutOfTime.
        counts: of this run; the round has its own.
    """

    ledger: Ledger
    collections: GraphCollections
    users: GraphUsers
    names: GroupNames
    changes: UserChanges
    writer: SyncWriter
    graph: GroupGraphStore
    checkpoint: Checkpoint
    policy: SyncPolicy
    clock: Clock
    accept_removals: bool
    renew: Callable[[], None]
    breathe: Callable[[], None]
    counts: Counts

    @property
    def round(self) -> Round:
        assert self.checkpoint.round is not None
        return self.checkpoint.round

    def note_written(self, written: Written) -> None:
        """Counts what was recorded; who could not be is asked for alone, or left to the guard, or reported."""
        self.add_counts(written.counts)
        self.checkpoint.population += written.population_change
        self.doubt(written.at_stake)
        for object_id, error in written.refused.items():
            if isinstance(error, LookAgain):
                self.look_again([object_id])
            elif not isinstance(error, CertificatesAtStake):
                self.note_broken(object_id, error.code, error.message)
        for object_id in written.recorded:
            self.checkpoint.broken.pop(object_id, None)

    def add_counts(self, counts: Counts) -> None:
        self.counts.add(counts)
        self.round.counts.add(counts)

    def look_again(self, object_ids: Sequence[str]) -> None:
        """These users are to be asked for one by one."""
        self.checkpoint.rechecks = list(dict.fromkeys([*self.checkpoint.rechecks, *object_ids]))

    def doubt(self, local_ids: Iterable[int]) -> None:
        """These users seem to be about to lose something: RemovalSteps will see."""
        leavers = self.checkpoint.leavers
        leavers.update(local_ids)
        self.checkpoint.leaving = leavers.to_bytes()

    def note_broken(self, object_id: str, code: str, message: str) -> None:
        """A user who cannot be copied; asked for again in every run."""
        self.add_counts(Counts(failed=1))
        self.checkpoint.note_broken(object_id, message)
        self.checkpoint.note_error(SyncError(self.now(), code, message, object_id or None))

    def now(self) -> datetime:
        return self.clock()
