"""Copies single users from Entra into the directory when a call asks for them, one or fifty at a time."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.context import Clock, Context, system_clock
from shared.directory.events import UserObserver
from shared.directory.ledger import Committed, Ledger, Request
from shared.directory.records.user import Group, ObjectIdLink, User, object_id_key
from shared.directory.transaction import Transaction
from shared.entra.entra_user import EntraUser
from shared.entra.graph.client import GraphClient
from shared.entra.graph.users import GraphUsers, Whereabouts
from shared.entra.group_names import GroupNames, naming_requests
from shared.entra.user_changes import Recorded, Sighting, UserChanges
from shared.entra.user_principal_name import fold, require_user_principal_name
from shared.errors import AppError

KnownByName = Callable[[Collection[str]], Iterable[str]]
"""From folded user principal names to the object ids of the users that have them in our records."""


@dataclass(frozen=True)
class SyncedUser:
    """A user as just copied; `created` if the directory did not know the object id before."""

    created: bool
    user: User
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class SyncResult:
    """What became of one of the names asked for."""

    user_principal_name: str
    outcome: SyncedUser | AppError


class UserSync:
    """Links people by their object id, never by name or mail.

    Args:
        observers: told of every changed user, inside the transaction.
        scope: object ids of the groups whose members the tenant sync keeps in step; empty means everybody.
        known_by_name: finds users whose recorded name Entra now gives to nobody or somebody else; by default a scan
            of the directory, so give an indexed one where there are many users.
    """

    def __init__(
        self,
        ledger: Ledger,
        graph: GraphClient,
        *,
        observers: Sequence[UserObserver] = (),
        scope: frozenset[str] = frozenset(),
        known_by_name: KnownByName | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._ledger = ledger
        self._users = GraphUsers(graph)
        self._names = GroupNames(ledger)
        self._changes = UserChanges(observers, scope)
        self._known_by_name = known_by_name or self._scan_for_names
        self._clock = clock

    def sync(self, user_principal_name: str, context: Context) -> SyncedUser:
        """Copies one user.

        Raises: UserPrincipalNameInvalid, EntraUserNotFound, EntraUserMalformed, GraphError; the ledger's errors.
        """
        outcome = self.sync_many([user_principal_name], context)[0].outcome
        if isinstance(outcome, AppError):
            raise outcome
        return outcome

    def sync_many(self, user_principal_names: Sequence[str], context: Context) -> list[SyncResult]:
        """Copies these users, each with its own outcome, in the order asked for, repeated names included.

        Raises: GraphError only where Graph as a whole cannot be used (no token, no permission, not reachable).
        """
        asked: dict[str, str] = {}
        outcomes: dict[str, SyncedUser | AppError] = {}
        for name in user_principal_names:
            try:
                asked.setdefault(fold(name), require_user_principal_name(name))
            except AppError as error:
                outcomes[fold(name)] = error
        if asked:
            outcomes |= self._sync_distinct(asked, context)
        return [SyncResult(name, outcomes[fold(name)]) for name in user_principal_names]

    def _sync_distinct(self, asked: dict[str, str], context: Context) -> dict[str, SyncedUser | AppError]:
        asked_at = self._clock()
        answers = self._ask_by_name(asked, context)
        found = {name: answer for name, answer in answers.items() if isinstance(answer, EntraUser)}
        groups = self._users.groups_of([user.object_id for user in found.values()], context.deadline)
        recorded = self._record(list(found.values()), groups, asked_at, context)
        self._follow_up(answers, recorded, context)
        outcomes: dict[str, SyncedUser | AppError] = {}
        for name, answer in answers.items():
            outcomes[name] = answer if isinstance(answer, AppError) else _outcome(answer, groups, recorded)
        return outcomes

    def _ask_by_name(self, asked: dict[str, str], context: Context) -> dict[str, EntraUser | AppError]:
        if len(asked) > 1:
            answers = self._users.by_names(list(asked.values()), context.deadline)
            return {fold(name): answer for name, answer in answers.items()}
        [(folded, name)] = asked.items()
        try:
            return {folded: self._users.by_name(name, context.deadline)}
        except AppError as error:
            return {folded: error}

    def _record(
        self,
        users: Sequence[EntraUser],
        groups: dict[str, tuple[Group, ...] | AppError],
        asked_at: datetime,
        context: Context,
    ) -> dict[str, Recorded | AppError]:
        """Commits the users whose groups are known, by object id."""
        known = self._local_ids([user.object_id for user in users])
        sightings: dict[str, Sighting] = {}
        for user in users:
            member_of = groups[user.object_id]
            if not isinstance(member_of, AppError):
                group_ids = tuple(group.object_id for group in member_of)
                sightings[user.object_id] = Sighting(user, group_ids, asked_at, known.get(user.object_id))
        all_groups = [group for member_of in groups.values() if isinstance(member_of, tuple) for group in member_of]
        news = self._names.news(all_groups)
        naming = naming_requests(news, context)
        requests: list[Request[Any]] = [self._request(sighting, context) for sighting in sightings.values()]
        results = self._ledger.commit_all([*naming, *requests], context.deadline)
        if not any(isinstance(result, AppError) for result in results[: len(naming)]):
            self._names.remember(name.group for name in news)
        outcomes = [result.value if isinstance(result, Committed) else result for result in results[len(naming) :]]
        return dict(zip(sightings, outcomes, strict=True))

    def _request(self, sighting: Sighting, context: Context) -> Request[Recorded]:
        def decide(tx: Transaction) -> Recorded:
            return self._changes.record_sighting(tx, sighting)

        return Request("user.synced", context, decide, reads=sighting.reads)

    def _follow_up(
        self,
        answers: dict[str, EntraUser | AppError],
        recorded: dict[str, Recorded | AppError],
        context: Context,
    ) -> None:
        """Looks after users whose recorded name now belongs to nobody or to somebody else.

        They were renamed or deleted; Entra is asked by object id, and the truth recorded.
        """
        moved = {name for name, answer in answers.items() if _is_news(answer, recorded)}
        current = {answer.object_id for answer in answers.values() if isinstance(answer, EntraUser)}
        suspects = set(self._known_by_name(moved)) - current if moved else set()
        if not suspects:
            return
        asked_at = self._clock()
        whereabouts = self._users.by_ids(sorted(suspects), context.deadline)
        known = self._local_ids(list(whereabouts))
        requests = [
            self._confirmation(object_id, answer, asked_at, known.get(object_id), context)
            for object_id, answer in whereabouts.items()
            if not isinstance(answer, AppError)
        ]
        self._ledger.commit_all(requests, context.deadline)

    def _local_ids(self, object_ids: Sequence[str]) -> dict[str, int]:
        links = self._ledger.get_many(ObjectIdLink, [object_id_key(object_id) for object_id in object_ids])
        return {link.object_id: link.user_id for link in links.values()}

    def _confirmation(
        self, object_id: str, answer: Whereabouts, asked_at: datetime, known_id: int | None, context: Context
    ) -> Request[Recorded | None]:
        def decide(tx: Transaction) -> Recorded | None:
            if isinstance(answer, EntraUser):
                return self._changes.record_sighting(tx, Sighting(answer, None, asked_at, known_id))
            return self._changes.record_deletion(tx, object_id, answer, asked_at)

        return Request("user.confirmed", context, decide, reads=[(ObjectIdLink, object_id_key(object_id))])

    def _scan_for_names(self, folded: Collection[str]) -> Iterable[str]:
        for user in self._ledger.scan(User):
            name = user.user_principal_name
            if user.object_id and user.deletion is None and name is not None and fold(name) in folded:
                yield user.object_id


def _is_news(answer: EntraUser | AppError, recorded: dict[str, Recorded | AppError]) -> bool:
    """Whether the name belongs to nobody, or to somebody who did not have it in our records."""
    if isinstance(answer, AppError):
        return answer.status == 404
    record = recorded.get(answer.object_id)
    if not isinstance(record, Recorded):
        return False
    before = record.before.user_principal_name if record.before else None
    return before is None or fold(before) != fold(answer.user_principal_name)


def _outcome(
    user: EntraUser, groups: dict[str, tuple[Group, ...] | AppError], recorded: dict[str, Recorded | AppError]
) -> SyncedUser | AppError:
    member_of = groups[user.object_id]
    if isinstance(member_of, AppError):
        return member_of
    record = recorded[user.object_id]
    return record if isinstance(record, AppError) else SyncedUser(record.created, record.after, member_of)
