"""Who is in what: memberOf and transitiveMemberOf of users and groups, members and transitiveMembers of groups.

Sources: https://learn.microsoft.com/graph/api/user-list-transitivememberof, .../group-list-members,
.../group-list-transitivemembers.
"""

from collections.abc import Callable

from local.entra.directory import Directory, Entry
from local.entra.faults import Action
from local.entra.graph.call import GROUP_READERS, USER_READERS, Call, Result, check_select, cost, rendered
from local.entra.graph.collections import (
    LIST_OPTIONS,
    collection_body,
    find,
    finish_page,
    next_link,
    require_eventual,
    skip_state,
    window,
)
from local.entra.graph.errors import bad_request, denied, request_bad_request
from local.entra.graph.query import DEFAULT_PAGE, refuse_unemulated
from local.entra.properties import GROUP, TYPES, USER, EntityType

Relation = Callable[[Directory, str], list[Entry]]

UPWARD: dict[str, Relation] = {
    "memberOf": lambda directory, object_id: directory.containers(object_id),
    "transitiveMemberOf": lambda directory, object_id: directory.transitive_containers(object_id),
}
DOWNWARD: dict[str, Relation] = {
    "members": lambda directory, object_id: directory.live_members(object_id),
    "transitiveMembers": lambda directory, object_id: directory.transitive_members(object_id),
}
BASE_COST = {"memberOf": 2, "transitiveMemberOf": 2, "members": 3, "transitiveMembers": 5}
READERS = {USER.name: USER_READERS | GROUP_READERS, GROUP.name: GROUP_READERS}


def list_related(call: Call, owner: EntityType, key: str, rest: list[str]) -> Result:
    """GET /users/{key}/transitiveMemberOf[/microsoft.graph.group][/$count] and its like."""
    name, rest = rest[0], rest[1:]
    relation = (UPWARD | (DOWNWARD if owner is GROUP else {})).get(name)
    if relation is None:
        raise bad_request(f"Resource not found for the segment '{name}'.")
    if not call.caller.permissions & READERS[owner.name]:
        raise denied()
    cast, rest = _cast(call, rest)
    counting = rest == ["$count"]
    if rest and not counting:
        raise bad_request(f"Resource not found for the segment '{rest[0]}'.")
    kind = f"{owner.collection}.{name}"
    with call.directory.lock:
        entry = find(call, owner, key)
        found = relation(call.directory, entry.id)
        if cast is not None:
            found = [other for other in found if other.type is cast]
        if counting:
            return _count(call, kind, found)
        return _page(call, kind, name, found, cast)


def _cast(call: Call, rest: list[str]) -> tuple[EntityType | None, list[str]]:
    """The type in `/microsoft.graph.group`; a cast is an advanced query."""
    if not rest or not rest[0].startswith("microsoft.graph."):
        return None, rest
    cast = TYPES.get(rest[0].removeprefix("microsoft.graph."))
    if cast is None:
        raise bad_request(f"The type '{rest[0]}' cannot be found in the model.")
    call.require(cast)
    if not (call.eventual and (call.options.count or rest[1:] == ["$count"])):
        raise request_bad_request(
            "OData cast is only supported with the ConsistencyLevel header set to eventual and $count."
        )
    return cast, rest[1:]


def _count(call: Call, kind: str, found: list[Entry]) -> Result:
    call.options.only()
    require_eventual(call)
    return Result(f"{kind}.count", 0 if call.fault(Action.EMPTY) else len(found), 1)


def _page(call: Call, kind: str, name: str, found: list[Entry], cast: EntityType | None) -> Result:
    call.options.only(*LIST_OPTIONS)
    refuse_unemulated(call.options, "$filter")
    select = check_select(call.options.select, *([cast] if cast else TYPES.values()))
    page, more = window(found, skip_state(call, kind).get("from", 0), call.options.top or DEFAULT_PAGE)
    shown = [rendered(call, entry, select, typed=cast is None) for entry in page]
    body = collection_body(call, cast.collection if cast else "directoryObjects", shown)
    if call.advanced:
        body["@odata.count"] = len(found)
    if more is not None:
        body["@odata.nextLink"] = next_link(call, kind, {"from": more})
    return Result(kind, finish_page(call, body), cost(BASE_COST[name], call.options))
