"""What a full tenant sync would do, without doing it: nothing is written, neither users nor where a sync stands."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.context import Clock
from shared.directory.ledger import Ledger
from shared.directory.records.user import EntraDeletion
from shared.entra.entra_user import EntraUser, EntraUserMalformed
from shared.entra.graph.client import GraphClient
from shared.entra.graph.collections import GraphCollections, groups_in
from shared.entra.graph.users import READ_GROUPS, READ_USERS
from shared.entra.tenant_sync.group_changes import GroupChange, Operation, apply
from shared.entra.tenant_sync.group_graph import GroupGraph, ParentIndex
from shared.entra.tenant_sync.id_set import IdSet
from shared.entra.tenant_sync.known_users import KnownUsers, fingerprint_of
from shared.entra.tenant_sync.work import SyncPolicy
from shared.entra.user_changes import UserChanges


@dataclass
class Preview:
    """How many users a full round would create and update, who seem to have left (unconfirmed), and so on."""

    groups: int = 0
    created: int = 0
    updated: int = 0
    leaving: int = 0
    unchanged: int = 0
    failed: int = 0
    listed: IdSet = field(default_factory=IdSet, repr=False)


def preview(
    ledger: Ledger,
    graph: GraphClient,
    changes: UserChanges,
    policy: SyncPolicy,
    clock: Clock,
    watch: Callable[[Preview], None] | None = None,
) -> Preview:
    """Reads all of the tenant and compares it with the directory. Raises GraphError; the ledger's errors."""
    collections = GraphCollections(graph, clock)
    found = Preview()
    known = KnownUsers.read(ledger)
    try:
        groups = _read_groups(collections, found)
        parents = ParentIndex(groups)

        def group_ids_of(object_id: str) -> tuple[str, ...]:
            node = groups.nodes.find(object_id)
            return groups.closure(parents.direct_groups(node)) if node is not None else ()

        for first in collections.user_listings(policy.group_ids):
            link: str | None = first
            while link is not None:
                page = collections.page(link, READ_USERS, eventual=bool(policy.group_ids))
                _compare(page.objects, known, changes, group_ids_of, found)
                link = page.next_link
                if watch is not None:
                    watch(found)
        found.leaving = sum(user.deletion is not EntraDeletion.HARD and user.id not in found.listed for user in known)
    finally:
        known.close()
        collections.close()
    return found


def _read_groups(collections: GraphCollections, found: Preview) -> GroupGraph:
    graph = GroupGraph()
    link: str | None = collections.groups_url()
    while link is not None:
        page = collections.page(link, READ_GROUPS)
        group_ids = [group.object_id for group in groups_in(page)]
        for group_id, members in collections.members(group_ids).items():
            apply(graph, [GroupChange(Operation.LIVE, group_id)])
            apply(graph, [GroupChange(Operation.SET_MEMBERS, group_id, members or ())])
        found.groups += len(group_ids)
        link = page.next_link
    return graph


def _compare(
    objects: list[dict[str, object]],
    known: KnownUsers,
    changes: UserChanges,
    group_ids_of: Callable[[str], tuple[str, ...]],
    found: Preview,
) -> None:
    users: dict[str, EntraUser] = {}
    for data in objects:
        try:
            user = EntraUser.from_graph(data)
            users[user.object_id] = user
        except EntraUserMalformed:
            found.failed += 1
    records = known.find(list(users))
    for object_id, user in users.items():
        group_ids = group_ids_of(object_id)
        record = records.get(object_id)
        if record is None:
            found.created += 1
            continue
        found.listed.add(record.id)
        same = record.fingerprint == fingerprint_of(user, group_ids, changes.in_scope(group_ids))
        found.unchanged += same
        found.updated += not same
