"""Commits what a tenant sync has learned: fenced, paced, in transactions as full as they can be."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from shared.context import Context, Deadline
from shared.directory.errors import ChangeTooLarge, UnstorableValue
from shared.directory.ledger import Committed, Ledger, Request
from shared.directory.records.user import Group, ObjectIdLink, User, object_id_key
from shared.directory.transaction import Transaction
from shared.entra.group_names import NAMES_PER_REQUEST, GroupName, naming_requests
from shared.entra.tenant_sync.lease import Fencing
from shared.entra.tenant_sync.report import Counts
from shared.entra.tenant_sync.user_requests import News, object_id_of, rows_of, user_request
from shared.entra.user_changes import CertificatesAtStake, LookAgain, Recorded, UserChanges
from shared.errors import AppError

T = TypeVar("T")

ROWS_PER_TRANSACTION = 97
"""A transaction holds 98 rows beside log and head; one may be the fence."""
STEP_TIME = timedelta(seconds=60)
_REFUSALS = (LookAgain, CertificatesAtStake, ChangeTooLarge, UnstorableValue)
"""Errors that concern one user alone; any other ends the run, and the step is done again."""


@dataclass
class Written:
    """What became of some users: the records, and the errors of those who could not be recorded, by object id."""

    recorded: dict[str, Recorded] = field(default_factory=dict)
    refused: dict[str, AppError] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    @property
    def at_stake(self) -> list[int]:
        """Local ids of users who were spared: they would lose certificates."""
        return [error.user_id for error in self.refused.values() if isinstance(error, CertificatesAtStake)]

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

    def record(self, news: Sequence[News]) -> Written:
        """Commits what is known about some users."""
        requests = [self._fenced(user_request(self._changes, each, self._context)) for each in news]
        results = self._commit(requests, [rows_of(each) for each in news])
        written = Written()
        for each, result in zip(news, results, strict=True):
            if isinstance(result, AppError):
                if not isinstance(result, _REFUSALS):
                    raise result
                written.refused[object_id_of(each)] = result
            elif result.value is not None:
                written.recorded[object_id_of(each)] = result.value
                _count(written.counts, result.value)
        return written

    def rehearse(self, news: Sequence[News]) -> list[Recorded]:
        """What `record` would do, without those whom it would refuse."""
        requests = [user_request(self._changes, each, self._context) for each in news]
        results = self._ledger.rehearse(requests, Deadline.after(STEP_TIME))
        return [result for result in results if isinstance(result, Recorded)]

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
    counts.certificates += sum(loss.usable for loss in recorded.losses)
