"""Questions about users to Graph, by name or by object id, one or many, with an answer for each of them."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from shared.context import Deadline
from shared.directory.records.user import EntraDeletion, Group
from shared.entra.entra_user import SELECT, EntraUser, object_id_of
from shared.entra.graph.batch import BatchReply, batch
from shared.entra.graph.client import GraphClient, next_link, relative_url, values
from shared.entra.graph.errors import GraphError, GraphNotFound, GraphRefused, GraphReplyInvalid
from shared.entra.graph.transport import Json
from shared.entra.user_principal_name import filter_in, fold, key_segment
from shared.errors import AppError

READ_USERS = "User.Read.All"
READ_GROUPS = "GroupMember.Read.All"
NAMES_PER_FILTER = 15
"""Values that Graph accepts in one `in` (https://learn.microsoft.com/graph/filter-query-parameter)."""
LARGEST_PAGE = 999
_GROUP_TYPE = "#microsoft.graph.group"


class EntraUserNotFound(AppError):
    """Entra has no user of that name."""

    status, code = 404, "entra_user_not_found"

    def __init__(self, user_principal_name: str) -> None:
        super().__init__(f"There is no user with the user principal name {user_principal_name} in Entra ID.")


Whereabouts = EntraUser | EntraDeletion
"""What became of an object id: alive, in the recycle bin, or gone."""


class GraphUsers:
    """Reads users and their groups."""

    def __init__(self, graph: GraphClient) -> None:
        self._graph = graph

    def by_name(self, user_principal_name: str, deadline: Deadline) -> EntraUser:
        """Raises EntraUserNotFound, EntraUserMalformed, GraphError."""
        url = self._graph.url(_by_name(user_principal_name))
        try:
            data = self._graph.get(url, deadline, permission=READ_USERS)
        except GraphNotFound as error:
            raise EntraUserNotFound(user_principal_name) from error
        return _require_same_name(data, user_principal_name)

    def by_names(self, user_principal_names: Sequence[str], deadline: Deadline) -> dict[str, EntraUser | AppError]:
        """The users of these (distinct) names, in one batch of filters, each name with its user or its error.

        A chunk that Graph calls malformed is asked again name by name, so that one name spoils nothing but itself.
        """
        size = NAMES_PER_FILTER
        chunks = [list(user_principal_names[at : at + size]) for at in range(0, len(user_principal_names), size)]
        replies = batch(self._graph, [_by_filter(chunk) for chunk in chunks], deadline, permission=READ_USERS)
        answers: dict[str, EntraUser | AppError] = {}
        single: list[str] = []
        for chunk, reply in zip(chunks, replies, strict=True):
            if reply.status == 400:
                single.extend(chunk)
            else:
                answers |= _pick(chunk, reply)
        for name, reply in zip(single, self._one_by_one(single, deadline), strict=True):
            answers[name] = _single_answer(name, reply)
        return answers

    def by_ids(self, object_ids: Sequence[str], deadline: Deadline) -> dict[str, Whereabouts | AppError]:
        """What became of each of these users: a second question tells the recycle bin from the void."""
        asked = list(dict.fromkeys(object_ids))
        urls = [relative_url(f"/users/{object_id}", {"$select": SELECT}) for object_id in asked]
        answers: dict[str, Whereabouts | AppError] = {}
        missing: list[str] = []
        for object_id, reply in zip(asked, batch(self._graph, urls, deadline, permission=READ_USERS), strict=True):
            answer = _by_id_answer(object_id, reply)
            if isinstance(answer, GraphNotFound):
                missing.append(object_id)
            else:
                answers[object_id] = answer
        urls = [relative_url(f"/directory/deletedItems/{object_id}", {"$select": "id"}) for object_id in missing]
        for object_id, reply in zip(missing, batch(self._graph, urls, deadline, permission=READ_USERS), strict=True):
            answers[object_id] = _deletion_answer(reply)
        return answers

    def groups_of(self, object_ids: Sequence[str], deadline: Deadline) -> dict[str, tuple[Group, ...] | AppError]:
        """All groups of each of these users, also those they are in by way of other groups, sorted by object id.

        One user costs a plain GET; many go twenty to a batch. Further pages (over 999 groups) are followed.
        """
        asked = list(dict.fromkeys(object_ids))
        if len(asked) == 1:
            return {asked[0]: self._groups_of_one(asked[0], deadline)}
        replies = batch(self._graph, [_groups_url(each) for each in asked], deadline, permission=READ_GROUPS)
        return {each: self._groups_in_batch(each, reply, deadline) for each, reply in zip(asked, replies, strict=True)}

    def _one_by_one(self, user_principal_names: Sequence[str], deadline: Deadline) -> list[BatchReply]:
        return batch(self._graph, [_by_name(name) for name in user_principal_names], deadline, permission=READ_USERS)

    def _groups_of_one(self, object_id: str, deadline: Deadline) -> tuple[Group, ...] | AppError:
        try:
            first = self._graph.get(self._graph.url(_groups_url(object_id)), deadline, permission=READ_GROUPS)
            return self._all_groups(object_id, first, deadline)
        except GraphError as error:
            return error

    def _groups_in_batch(self, object_id: str, reply: BatchReply, deadline: Deadline) -> tuple[Group, ...] | AppError:
        try:
            return self._all_groups(object_id, reply.json(READ_GROUPS), deadline)
        except GraphError as error:
            return error

    def _all_groups(self, object_id: str, first: Json, deadline: Deadline) -> tuple[Group, ...]:
        """Follows the pages. A list that ends with a full page may have lost the link to the next: the count tells."""
        link = next_link(first)
        pages = [first, *(self._graph.pages(link, deadline, permission=READ_GROUPS) if link else ())]
        if len(values(pages[-1])) == LARGEST_PAGE:
            url = self._graph.url(f"/users/{object_id}/transitiveMemberOf/$count")
            count = self._graph.count(url, deadline, permission=READ_GROUPS)
            if count > sum(len(values(page)) for page in pages):
                raise GraphReplyInvalid("a list of a user's groups is not complete")
        return _groups(pages)


def _by_name(user_principal_name: str) -> str:
    return relative_url(f"/{key_segment(user_principal_name)}", {"$select": SELECT})


def _by_filter(user_principal_names: list[str]) -> str:
    query = {"$filter": filter_in(user_principal_names), "$select": SELECT, "$top": str(NAMES_PER_FILTER)}
    return relative_url("/users", query)


def _groups_url(object_id: str) -> str:
    # A cast to groups would be an "advanced query" with another consistency, so the type is looked at here.
    return relative_url(
        f"/users/{quote(object_id, safe='')}/transitiveMemberOf",
        {"$select": "id,displayName", "$top": str(LARGEST_PAGE)},
    )


def _require_same_name(data: Json, user_principal_name: str) -> EntraUser:
    """Never the record of another user than the one asked for, whatever the server made of the URL."""
    user = EntraUser.from_graph(data)
    if fold(user.user_principal_name) != fold(user_principal_name):
        raise EntraUserNotFound(user_principal_name)
    return user


def _single_answer(user_principal_name: str, reply: BatchReply) -> EntraUser | AppError:
    try:
        return _require_same_name(reply.json(READ_USERS), user_principal_name)
    except GraphRefused as error:
        # 400: a name that Graph cannot even parse belongs to nobody.
        return EntraUserNotFound(user_principal_name) if error.reply_status in (400, 404) else error
    except AppError as error:
        return error


def _pick(chunk: Sequence[str], reply: BatchReply) -> dict[str, EntraUser | AppError]:
    try:
        found = {fold(str(each.get("userPrincipalName"))): each for each in values(reply.json(READ_USERS))}
    except GraphError as error:
        return dict.fromkeys(chunk, error)
    return {name: _picked(name, found.get(fold(name))) for name in chunk}


def _picked(user_principal_name: str, data: Json | None) -> EntraUser | AppError:
    if data is None:
        return EntraUserNotFound(user_principal_name)
    try:
        return EntraUser.from_graph(data)
    except GraphError as error:
        return error


def _by_id_answer(object_id: str, reply: BatchReply) -> EntraUser | GraphError:
    try:
        user = EntraUser.from_graph(reply.json(READ_USERS))
    except GraphError as error:
        return error
    return user if user.object_id == object_id else GraphReplyInvalid("it describes another user than asked for")


def _deletion_answer(reply: BatchReply) -> EntraDeletion | GraphError:
    try:
        reply.json(READ_USERS)
    except GraphNotFound:
        return EntraDeletion.HARD
    except GraphError as error:
        return error
    return EntraDeletion.SOFT


def _groups(pages: Iterable[Json]) -> tuple[Group, ...]:
    """Groups only: directory roles and administrative units come in the same list."""
    found: dict[str, Group] = {}
    for page in pages:
        for each in values(page):
            if each.get("@odata.type") == _GROUP_TYPE:
                group = group_of(each)
                found[group.object_id] = group
    return tuple(found[object_id] for object_id in sorted(found))


def group_of(data: Json) -> Group:
    """A group's id and display name; the name is empty where Graph does not tell it. Raises EntraUserMalformed."""
    name = data.get("displayName")
    return Group(object_id=object_id_of(data), display_name=name[:256] if isinstance(name, str) else "")
