"""What a full tenant sync would do, without doing it: nothing is written, neither users nor where a sync stands."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from shared.context import Clock, Context, Deadline
from shared.directory.events import CertificateLoss
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import RevocationReason
from shared.directory.records.user import EntraDeletion, User
from shared.entra.entra_user import EntraUser, EntraUserMalformed
from shared.entra.graph.client import GraphClient
from shared.entra.graph.collections import STEP_TIME, GraphCollections, Page, groups_in
from shared.entra.graph.users import READ_GROUPS, READ_USERS, GraphUsers
from shared.entra.tenant_sync.group_changes import GroupChange, Operation, apply
from shared.entra.tenant_sync.group_graph import GroupGraph, ParentIndex
from shared.entra.tenant_sync.id_set import IdSet
from shared.entra.tenant_sync.known_users import KnownUser, KnownUsers, fingerprint_of
from shared.entra.tenant_sync.removal_guard import RemovalGuard, Removals
from shared.entra.tenant_sync.user_requests import Departure, News, user_request
from shared.entra.tenant_sync.work import SyncPolicy
from shared.entra.user_changes import Recorded, Sighting, UserChanges
from shared.errors import AppError

CONFIRMED_AT_ONCE = 100


@dataclass(frozen=True)
class LostCertificate:
    """A certificate that its user would lose, and what has happened to the user."""

    user_id: int
    user_principal_name: str | None
    because: str
    certificate: CertificateLoss


@dataclass
class Preview:
    """How many users a full round would create, update and take out, and what they would lose by that.

    Attributes:
        held: what the deletion guard would say instead of taking anything; None if it would not mind.
    """

    groups: int = 0
    created: int = 0
    updated: int = 0
    leaving: int = 0
    unchanged: int = 0
    failed: int = 0
    certificates: list[LostCertificate] = field(default_factory=list)
    held: str | None = None


class Previewer:
    """Makes one preview.

    Args:
        watch: told after every page.
    """

    def __init__(
        self,
        ledger: Ledger,
        graph: GraphClient,
        changes: UserChanges,
        policy: SyncPolicy,
        clock: Clock,
        context: Context,
        watch: Callable[[Preview], None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._collections = GraphCollections(graph, clock)
        self._users = GraphUsers(graph)
        self._changes = changes
        self._policy = policy
        self._clock = clock
        self._context = context
        self._watch = watch
        self._found = Preview()
        self._listed = IdSet()
        self._removals = Removals()

    def run(self) -> Preview:
        """Reads all of the tenant and compares it with the directory. Raises GraphError; the ledger's errors."""
        known = KnownUsers.read(self._ledger)
        try:
            groups = Memberships(self._read_groups())
            for page in self._pages():
                self._compare(page, known, groups)
                if self._watch is not None:
                    self._watch(self._found)
            absent = (user for user in known if self._seems_to_leave(user))
            while chunk := list(islice(absent, CONFIRMED_AT_ONCE)):
                self._confirm(chunk, groups)
            population = sum(user.deletion is None for user in known)
        finally:
            known.close()
            self._collections.close()
        objection = RemovalGuard(self._ledger, self._policy, population, self._clock()).objection(self._removals)
        self._found.held = objection.reason if objection else None
        return self._found

    def _read_groups(self) -> GroupGraph:
        graph = GroupGraph()
        link: str | None = self._collections.groups_url()
        while link is not None:
            page = self._collections.page(link, READ_GROUPS)
            group_ids = [group.object_id for group in groups_in(page)]
            for group_id, members in self._collections.members(group_ids).items():
                apply(graph, [GroupChange(Operation.LIVE, group_id)])
                apply(graph, [GroupChange(Operation.SET_MEMBERS, group_id, members or ())])
            self._found.groups += len(group_ids)
            link = page.next_link
        return graph

    def _pages(self) -> Iterator[Page]:
        scoped = bool(self._policy.group_ids)
        for first in self._collections.user_listings(self._policy.group_ids):
            link: str | None = first
            while link is not None:
                page = self._collections.page(link, READ_USERS, eventual=scoped)
                yield page
                link = page.next_link

    def _compare(self, page: Page, known: KnownUsers, groups: "Memberships") -> None:
        users: dict[str, EntraUser] = {}
        for data in page.objects:
            try:
                user = EntraUser.from_graph(data)
                users[user.object_id] = user
            except EntraUserMalformed:
                self._found.failed += 1
        records = known.find(list(users))
        changed: list[Sighting] = []
        for object_id, user in users.items():
            group_ids = groups.of(object_id)
            record = records.get(object_id)
            if record is None:
                self._found.created += 1
                continue
            self._listed.add(record.id)
            if record.fingerprint == fingerprint_of(user, group_ids, self._changes.in_scope(group_ids)):
                self._found.unchanged += 1
            else:
                changed.append(Sighting(user, group_ids, page.asked_at, record.id, touch=False))
        self._found.updated += len(changed)
        self._rehearse(changed)

    def _seems_to_leave(self, user: KnownUser) -> bool:
        return user.deletion is not EntraDeletion.HARD and user.id not in self._listed

    def _confirm(self, absent: Sequence[KnownUser], groups: "Memberships") -> None:
        """Asks for those who were not listed, one by one; who is there after all, and in the scope, stays."""
        asked_at = self._clock()
        local_ids = {user.object_id: user.id for user in absent}
        losses: list[News] = []
        for object_id, answer in self._users.by_ids(list(local_ids), Deadline.after(STEP_TIME)).items():
            if isinstance(answer, EntraDeletion):
                losses.append(Departure(object_id, local_ids[object_id], answer, asked_at))
            elif isinstance(answer, EntraUser):
                if not self._changes.in_scope(group_ids := groups.of(object_id)):
                    losses.append(Sighting(answer, group_ids, asked_at, local_ids[object_id], touch=False))
            elif answer.code != "entra_user_malformed":
                raise answer
        self._found.leaving += sum(recorded.changed for recorded in self._rehearse(losses))

    def _rehearse(self, news: Sequence[News]) -> list[Recorded]:
        requests = [user_request(self._changes, each, self._context) for each in news]
        decided: list[Recorded | AppError | None] = self._ledger.rehearse(requests, Deadline.after(STEP_TIME))
        changes = [each for each in decided if isinstance(each, Recorded)]
        self._removals += Removals.of(changes)
        self._found.certificates += [
            LostCertificate(change.after.id, change.after.user_principal_name, _because(change.after, loss), loss)
            for change in changes
            for loss in change.losses
        ]
        return changes


class Memberships:
    """The groups of each user, transitive, in a graph that does not change any more."""

    def __init__(self, graph: GroupGraph) -> None:
        self._graph = graph
        self._parents = ParentIndex(graph)

    def of(self, object_id: str) -> tuple[str, ...]:
        node = self._graph.nodes.find(object_id)
        return () if node is None else self._graph.closure(self._parents.direct_groups(node))


def _because(user: User, loss: CertificateLoss) -> str:
    if loss.reason is RevocationReason.KEY_COMPROMISE:
        return "key compromised"
    if user.deletion is EntraDeletion.HARD:
        return "deleted for good"
    if loss.reason is RevocationReason.SUPERSEDED:
        return "renamed"
    if user.deletion is EntraDeletion.SOFT:
        return "deleted"
    return "disabled" if user.in_scope else "out of scope"
