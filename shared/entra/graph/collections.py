"""The tenant's users and groups as collections: listed page by page, followed by delta links, counted.

https://learn.microsoft.com/graph/delta-query-overview
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from shared.context import Clock, Deadline
from shared.directory.records.user import Group
from shared.entra.entra_user import SELECT, EntraUserMalformed, object_id_of
from shared.entra.graph.batch import BatchReply, batch
from shared.entra.graph.client import GraphClient, delta_link, next_link, relative_url, values
from shared.entra.graph.errors import GraphNotFound, GraphReplyInvalid
from shared.entra.graph.transport import Json
from shared.entra.graph.users import READ_GROUPS, READ_USERS, group_of
from shared.telemetry.recorder import recorder

PAGE = 999
"""The largest page that Graph gives."""
GROUPS_PER_PAGE = 500
"""Smaller: each group costs a request for its members before the page counts as done."""
STEP_TIME = timedelta(seconds=60)
"""For one page with all its retries; shorter than the lease."""
_USER, _GROUP = "#microsoft.graph.user", "#microsoft.graph.group"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a collection; `asked_at` is from before it was asked for."""

    objects: list[Json]
    next_link: str | None
    delta_link: str | None
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class GroupEdit:
    """What a group's delta says: its name, and members that came and went. `removed`: the group itself is gone."""

    object_id: str
    removed: bool
    name: str | None
    came: tuple[str, ...] = ()
    went: tuple[str, ...] = ()


class GraphCollections:
    """Reads collections; the next page is fetched while the caller works on the last one."""

    def __init__(self, graph: GraphClient, clock: Clock) -> None:
        self._graph = graph
        self._clock = clock
        self._ahead: dict[str, Future[Page]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="graph-page")

    def close(self) -> None:
        """Lets the thread that fetches ahead end; what it fetches is thrown away."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- Where to begin ---

    def user_listings(self, scope: Sequence[str]) -> list[str]:
        """Where the listings of all users, or of the members of each of these groups, begin.

        Members of members count; the cast to users makes theirs an advanced query, to be read `eventual`.
        """
        query = {"$select": SELECT, "$top": str(PAGE)}
        if not scope:
            return [self._graph.url("/users", query)]
        path = "/groups/{}/transitiveMembers/microsoft.graph.user"
        return [self._graph.url(path.format(group_id), {**query, "$count": "true"}) for group_id in scope]

    def groups_url(self) -> str:
        return self._graph.url("/groups", {"$select": "id,displayName", "$top": str(GROUPS_PER_PAGE)})

    def users_delta_from_now(self) -> str:
        """A delta link that reports what changes from now on."""
        return self._latest("/users/delta", SELECT, READ_USERS)

    def groups_delta_from_now(self) -> str:
        return self._latest("/groups/delta", "displayName,members", READ_GROUPS)

    # --- Reading ---

    def page(self, url: str, permission: str, *, eventual: bool = False) -> Page:
        """The page at this URL, perhaps fetched ahead. Raises the errors of shared.entra.graph.errors."""
        ahead = self._ahead.pop(url, None)
        return ahead.result() if ahead is not None else self._fetch(url, permission, eventual)

    def fetch_ahead(self, url: str, permission: str, *, eventual: bool = False) -> None:
        """Begins to fetch the page that will be asked for next; at most one is held."""
        fetch = recorder().carried(self._fetch)
        self._ahead = {url: self._pool.submit(fetch, url, permission, eventual)}

    def count_users(self) -> int:
        return self._count("/users/$count", READ_USERS)

    def count_groups(self) -> int:
        return self._count("/groups/$count", READ_GROUPS)

    def group_names(self, group_ids: Sequence[str]) -> list[Group]:
        """These groups, where they exist."""
        urls = [relative_url(f"/groups/{group_id}", {"$select": "id,displayName"}) for group_id in group_ids]
        replies = batch(self._graph, urls, Deadline.after(STEP_TIME), permission=READ_GROUPS)
        return [group_of(reply.json(READ_GROUPS)) for reply in replies if reply.status != 404]

    def members(self, group_ids: Sequence[str]) -> dict[str, tuple[str, ...] | None]:
        """The direct members, users and groups, of each of these groups; None if the group does not exist.

        A group that cannot be read otherwise fails all: half a graph is worse than an old one.
        """
        return self._related(group_ids, "/groups/{}/members")

    def parents(self, kind: str, object_ids: Sequence[str]) -> dict[str, tuple[str, ...] | None]:
        """The groups that each of these `users` or `groups` is a direct member of; None if it does not exist."""
        return self._related(object_ids, f"/{kind}/{{}}/memberOf", only=_GROUP)

    def _fetch(self, url: str, permission: str, eventual: bool) -> Page:
        asked_at = self._clock()
        page = self._graph.get(url, Deadline.after(STEP_TIME), permission=permission, eventual=eventual)
        following, changes = next_link(page), delta_link(page)
        for link in (following, changes):
            if link is not None:
                self._graph.require_trusted(link)
        return Page(values(page), following, changes, asked_at)

    def _latest(self, path: str, select: str, permission: str) -> str:
        url = self._graph.url(path, {"$select": select, "$deltatoken": "latest"})
        link = self._fetch(url, permission, False).delta_link
        if link is None:
            raise GraphReplyInvalid("a delta query without a delta link")
        return link

    def _count(self, path: str, permission: str) -> int:
        return self._graph.count(self._graph.url(path), Deadline.after(STEP_TIME), permission=permission)

    def _related(
        self, object_ids: Sequence[str], path: str, only: str | None = None
    ) -> dict[str, tuple[str, ...] | None]:
        deadline = Deadline.after(STEP_TIME)
        query = {"$select": "id", "$top": str(PAGE)}
        urls = [relative_url(path.format(object_id), query) for object_id in object_ids]
        replies = batch(self._graph, urls, deadline, permission=READ_GROUPS)
        found: dict[str, tuple[str, ...] | None] = {}
        for object_id, reply in zip(object_ids, replies, strict=True):
            found[object_id] = self._all_related(path.format(object_id), reply, deadline, only)
        return found

    def _all_related(
        self, path: str, reply: BatchReply, deadline: Deadline, only: str | None
    ) -> tuple[str, ...] | None:
        try:
            first = reply.json(READ_GROUPS)
        except GraphNotFound:
            return None
        link = next_link(first)
        following = self._graph.pages(link, deadline, permission=READ_GROUPS) if link else ()
        wanted = (only,) if only else (_USER, _GROUP)
        listed, in_last = 0, 0
        related: dict[str, None] = {}
        for page in chain([first], following):
            objects = values(page)
            listed, in_last = listed + len(objects), len(objects)
            related.update((object_id_of(each), None) for each in objects if each.get("@odata.type") in wanted)
        if in_last == PAGE:
            self._require_complete(path, listed, deadline)
        return tuple(related)

    def _require_complete(self, path: str, listed: int, deadline: Deadline) -> None:
        """A list that ends with a full page may have lost the link to the next one; the count tells."""
        count = self._graph.count(self._graph.url(f"{path}/$count"), deadline, permission=READ_GROUPS)
        if count > listed:
            raise GraphReplyInvalid(f"a list of {count} members ends after {listed}")


def group_edits(page: Page) -> list[GroupEdit]:
    """What a page of the groups' delta says; a group may come several times. What has no id is left out."""
    return [_group_edit(each) for each in page.objects if object_id_or_none(each)]


def groups_in(page: Page) -> list[Group]:
    """The groups of a listing's page. What has no id is left out."""
    return [group_of(each) for each in page.objects if object_id_or_none(each)]


def removal_in(data: Json) -> bool:
    """Whether a delta's object says that it was removed: for the recycle bin (`changed`) or for good (`deleted`)."""
    return isinstance(data.get("@removed"), dict)


def object_id_or_none(data: Json) -> str | None:
    try:
        return object_id_of(data)
    except EntraUserMalformed:
        return None


def _group_edit(data: Json) -> GroupEdit:
    object_id = object_id_of(data)
    if removal_in(data):
        return GroupEdit(object_id, True, None)
    members = data.get("members@delta", [])
    if not isinstance(members, list) or not all(isinstance(each, dict) for each in members):
        raise GraphReplyInvalid("the changes of a group's members are not a list of objects")
    people = [each for each in members if each.get("@odata.type") in (_USER, _GROUP)]
    name = data.get("displayName")
    return GroupEdit(
        object_id,
        False,
        name[:256] if isinstance(name, str) else None,
        tuple(object_id_of(each) for each in people if "@removed" not in each),
        tuple(object_id_of(each) for each in people if "@removed" in each),
    )
