"""Commits what a tenant sync has learned: fenced, paced, in transactions as full as they can be."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from shared.context import Context, Deadline
from shared.directory.errors import ChangeTooLarge, UnstorableValue
from shared.directory.ledger import Committed, Ledger, Request
from shared.directory.records.user import EntraDeletion, Group, ObjectIdLink, User, object_id_key, user_key
from shared.directory.transaction import Transaction
from shared.entra.group_names import NAMES_PER_REQUEST, GroupName, naming_requests
from shared.entra.tenant_sync.lease import Fencing
from shared.entra.tenant_sync.report import Counts
from shared.entra.user_changes import LookAgain, Recorded, Sighting, UserChanges
from shared.errors import AppError

T = TypeVar("T")

ROWS_PER_TRANSACTION = 97
"""A transaction holds 98 rows beside log and head; one may be the fence."""
STEP_TIME = timedelta(seconds=60)
_REFUSALS = (LookAgain, ChangeTooLarge, UnstorableValue)
"""Errors that concern one user alone; any other ends the run, and the step is done again."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A user confirmed to have left; `known_id` is the local id."""

    object_id: str
    known_id: int
    deletion: EntraDeletion


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's groups as the group graph has them."""

    object_id: str
    known_id: int
    group_ids: tuple[str, ...]


@dataclass
class Written:
    """What became of some users: the records, and the errors of those who could not be recorded, by object id."""

    recorded: dict[str, Recorded] = field(default_factory=dict)
    refused: dict[str, AppError] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    @property
    def population_change(self) -> int:
        """How many more users are known and not deleted than before."""
        return sum(_present(each.after) - _present(each.before) for each in self.recorded.values())


class SyncWriter:
    """Writes for one run.

    Args:
        fencing: checked in every transaction.
        rows_per_second: the pace to keep; Azure's limit is 2,000 a second for a partition.
    """

    def __init__(
        self,
        ledger: Ledger,
        changes: UserChanges,
        fencing: Fencing,
        context: Context,
        *,
        rows_per_second: int,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._changes = changes
        self._fencing = fencing
        self._context = context
        self._rows_per_second = rows_per_second
        self._sleep = sleep
        self._monotonic = monotonic
        self._free_at = monotonic()

    def sightings(self, sightings: Sequence[Sighting]) -> Written:
        """Creates and updates users."""
        requests = {
            sighting.user.object_id: (self._sighting(sighting), 1 if sighting.known_id is not None else 2)
            for sighting in sightings
        }
        return self._users(requests)

    def departures(self, departures: Sequence[Departure], asked_at: datetime) -> Written:
        requests = {each.object_id: (self._departure(each, asked_at), 1) for each in departures}
        return self._users(requests)

    def memberships(self, memberships: Sequence[Membership], asked_at: datetime) -> Written:
        requests = {each.object_id: (self._membership(each, asked_at), 1) for each in memberships}
        return self._users(requests)

    def names(self, names: Sequence[GroupName]) -> None:
        """Stores display names of groups."""
        requests = naming_requests(names, self._context)
        self._require([self._fenced(request) for request in requests], [NAMES_PER_REQUEST] * len(requests))

    def forget_groups(self, object_ids: Sequence[str]) -> None:
        """Removes the display names of groups that are no more."""
        requests = [self._forgetting(Group(object_id=each, display_name="").key) for each in object_ids]
        self._require(requests, [1] * len(requests))

    def local_ids(self, object_ids: Sequence[str]) -> dict[str, int]:
        """The local ids of those of these users who are known."""
        links = self._ledger.get_many(ObjectIdLink, [object_id_key(object_id) for object_id in object_ids])
        return {link.object_id: link.user_id for link in links.values()}

    def _sighting(self, sighting: Sighting) -> Request[Recorded | None]:
        def decide(tx: Transaction) -> Recorded | None:
            return self._changes.record_sighting(tx, sighting)

        return self._fenced(Request("user.synced", self._context, decide, reads=sighting.reads))

    def _departure(self, departure: Departure, asked_at: datetime) -> Request[Recorded | None]:
        def decide(tx: Transaction) -> Recorded | None:
            return self._changes.record_deletion(tx, departure.object_id, departure.deletion, asked_at)

        reads = [(User, user_key(departure.known_id)), (ObjectIdLink, object_id_key(departure.object_id))]
        return self._fenced(Request("user.left", self._context, decide, reads=reads))

    def _membership(self, membership: Membership, asked_at: datetime) -> Request[Recorded | None]:
        def decide(tx: Transaction) -> Recorded | None:
            return self._changes.record_groups(tx, membership.object_id, membership.group_ids, asked_at)

        reads = [(User, user_key(membership.known_id)), (ObjectIdLink, object_id_key(membership.object_id))]
        return self._fenced(Request("user.regrouped", self._context, decide, reads=reads))

    def _forgetting(self, key: str) -> Request[None]:
        def decide(tx: Transaction) -> None:
            tx.delete(Group, key)

        return self._fenced(Request("group.left", self._context, decide, reads=[(Group, key)]))

    def _fenced(self, request: Request[T]) -> Request[T]:
        def decide(tx: Transaction) -> T:
            self._fencing.check(tx)
            value = request.decide(tx)
            if tx.staged.changes:
                self._fencing.mark(tx)
            return value

        return Request(request.action, request.context, decide, reads=[*request.reads, self._fencing.read])

    def _users(self, requests: dict[str, tuple[Request[Recorded | None], int]]) -> Written:
        written = Written()
        results = self._commit([request for request, _ in requests.values()], [rows for _, rows in requests.values()])
        for object_id, result in zip(requests, results, strict=True):
            if isinstance(result, AppError):
                if not isinstance(result, _REFUSALS):
                    raise result
                written.refused[object_id] = result
            elif result.value is not None:
                written.recorded[object_id] = result.value
                _count(written.counts, result.value)
        return written

    def _require(self, requests: Sequence[Request[None]], rows: Sequence[int]) -> None:
        for result in self._commit(requests, rows):
            if isinstance(result, AppError):
                raise result

    def _commit(self, requests: Sequence[Request[T]], rows: Sequence[int]) -> list[Committed[T] | AppError]:
        """A transaction's worth at a time, so that others of this process get their turn in between."""
        results: list[Committed[T] | AppError] = []
        start = 0
        while start < len(requests):
            end, size = start, 0
            while end < len(requests) and (end == start or size + rows[end] <= ROWS_PER_TRANSACTION):
                size += rows[end]
                end += 1
            self._keep_pace(size + 2)
            results += self._ledger.commit_all(requests[start:end], Deadline.after(STEP_TIME))
            start = end
        return results

    def _keep_pace(self, rows: int) -> None:
        now = self._monotonic()
        if self._free_at > now:
            self._sleep(self._free_at - now)
        self._free_at = max(self._free_at, now) + rows / self._rows_per_second


def _present(user: User | None) -> int:
    return int(user is not None and user.deletion is None)


def _count(counts: Counts, recorded: Recorded) -> None:
    if recorded.before is None:
        counts.created += 1
    elif not recorded.changed:
        counts.unchanged += 1
    elif recorded.before.is_active and not recorded.after.is_active:
        counts.deactivated += 1
    else:
        counts.updated += 1
