"""/users/delta and /groups/delta: what changed since a token, in pages, with everything that makes clients careful.

Sources: https://learn.microsoft.com/graph/delta-query-overview, .../delta-query-users, .../delta-query-groups.
"""

import uuid
from bisect import bisect_left
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from local.entra.directory import Directory, Entry, timestamp
from local.entra.faults import Action
from local.entra.graph.call import Call, Result, check_select, rendered
from local.entra.graph.collections import expired_page_token, finish_page
from local.entra.graph.errors import GraphError, bad_request, request_bad_request
from local.entra.graph.filters import Filter, parse_filter
from local.entra.graph.paging import TokenForged
from local.entra.properties import GROUP, EntityType

PAGE = 200
MEMBERS_PER_PAGE = 500
TOKEN_LIFE = timedelta(days=7)  # delta-query-overview, "Token duration", directory objects
STRANGERS = 3


@dataclass(frozen=True)
class Round:
    """A round of changes: those with sequence numbers in [since, until), read on from `at`.

    A group with more members than a page holds goes on at `member`.
    """

    since: int
    until: int
    at: int
    member: int = 0
    select: tuple[str, ...] | None = None
    filter: str | None = None


def delta(call: Call, entity: EntityType) -> Result:
    """GET /users/delta or /groups/delta, first request or any link of a round."""
    call.require(entity)
    kind = f"{entity.collection}.delta"
    with call.directory.lock:
        call.directory.empty_recycle_bin()
        now = call.directory.now
        if (call.options.get("$deltatoken") or "").lower() == "latest":
            return Result(kind, _last_page(call, entity, _first_round(call, entity, now, latest=True), []), 1)
        current = _round(call, entity, now)
        value, following = _page(call, entity, current)
    value = value + _strangers(call, entity)
    if following is None:
        return Result(kind, _last_page(call, entity, current, value), 1)
    link = call.base_url + call.path + "?$skiptoken=" + _seal(call, kind, following)
    if call.fault(Action.REPLAY_PAGE):
        link = call.base_url + call.path + "?$skiptoken=" + _seal(call, kind, current)
    body = {"@odata.context": _context(call, entity, current), "@odata.nextLink": link, "value": value}
    return Result(kind, finish_page(call, body), 1)


def _last_page(call: Call, entity: EntityType, current: Round, value: list[dict[str, Any]]) -> dict[str, Any]:
    """The end of a round, with the link that starts the next one (or, replayed, this one again)."""
    since = current.since if call.fault(Action.REPLAY_PAGE) else current.until
    following = Round(since, 0, since, select=current.select, filter=current.filter)
    link = call.base_url + call.path + "?$deltatoken=" + _seal(call, f"{entity.collection}.delta", following)
    body = {"@odata.context": _context(call, entity, current), "@odata.deltaLink": link, "value": value}
    return finish_page(call, body)


def _round(call: Call, entity: EntityType, now: int) -> Round:
    """Where the request stands: at the start, at a round's next page, or at a new round since a delta token."""
    skip, token = call.options.get("$skiptoken"), call.options.get("$deltatoken")
    if skip is not None and token is not None:
        raise bad_request("$skiptoken and $deltatoken cannot be used together.")
    if skip is None and not token:
        return _first_round(call, entity, now)
    call.options.only("$skiptoken" if skip is not None else "$deltatoken")
    state = _open(call, entity, skip or token or "")
    if bool(state["until"]) != (skip is not None):
        raise bad_request("The token is of the other kind: $skiptoken and $deltatoken are not interchangeable.")
    return Round(
        state["since"],
        state["until"] or now,
        state["at"],
        state["member"],
        tuple(state["select"]) if state["select"] is not None else None,
        state["filter"],
    )


def _first_round(call: Call, entity: EntityType, now: int, *, latest: bool = False) -> Round:
    if call.options.top is not None:
        raise request_bad_request("'$top' is not supported by the service for delta queries.")
    call.options.only("$select", "$filter", *(["$deltatoken"] if "$deltatoken" in call.options.values else []))
    select = call.options.select
    if select is not None:
        check_select(tuple(name for name in select if not (entity is GROUP and name == "members")), entity)
    current = Round(now if latest else 0, now, now if latest else 0, 0, select, call.options.get("$filter"))
    _scope(current, entity)
    return current


def _scope(current: Round, entity: EntityType) -> Filter | None:
    """A delta query can be narrowed to objects by id, and by nothing else."""
    if current.filter is None:
        return None
    scope = parse_filter(current.filter, entity, advanced=True)
    if scope.keys is None or len(scope.keys) > 50 or not all(len(key) == 36 for key in scope.keys):
        raise request_bad_request("Delta queries support filters by object id only, up to 50 of them.")
    return scope


def _page(call: Call, entity: EntityType, current: Round) -> tuple[list[dict[str, Any]], Round | None]:
    """The objects of a page, and where the next one starts (None: this was the last).

    An object is told where it first occurs within the round, in its present state.
    """
    directory = call.directory
    scope = _scope(current, entity)
    value: list[dict[str, Any]] = []
    room, member = MEMBERS_PER_PAGE, current.member
    for at in range(current.at, current.until):
        if len(value) == PAGE or room <= 0:
            return value, replace(current, at=at, member=0)
        object_id = directory.log[at]
        if directory.previous[at] >= current.since or (scope is not None and object_id not in (scope.keys or ())):
            continue
        shown, member_resumes_at = _shown(call, entity, current, object_id, member, room)
        if shown is not None:
            value.append(shown)
            room -= len(shown.get("members@delta", ()))
        if member_resumes_at is not None:
            return value, replace(current, at=at, member=member_resumes_at)
        member = 0
    return value, None


def _shown(
    call: Call, entity: EntityType, current: Round, object_id: str, member: int, room: int
) -> tuple[dict[str, Any] | None, int | None]:
    """How an object's changes are told (None: not at all), and from which member change on the next page goes on."""
    entry = call.directory.entries.get(object_id)
    if entry is None or entry.type is not entity or entry.deleted is not None:
        return _departed(call.directory, entity, current, object_id), None
    select = tuple(name for name in current.select if name != "members") if current.select is not None else None
    shown = rendered(call, entry, select, sparse=True)
    edges: list[dict[str, Any]] = []
    resume = None
    if entity is GROUP and (current.select is None or "members" in current.select):
        edges, resume = _member_changes(call.directory, object_id, current.since, member, room)
    if edges:
        shown["members@delta"] = edges
    elif not _own_change(entry, current):
        return None, resume
    return shown, resume


def _departed(directory: Directory, entity: EntityType, current: Round, object_id: str) -> dict[str, Any] | None:
    """@removed for what went away within the round; a first round is silent about it."""
    entry = directory.entries.get(object_id)
    kind = entry.type if entry is not None else directory.purged.get(object_id)
    if not current.since or kind is not entity:
        return None
    return _removed(object_id, "deleted" if entry is None else "changed")


def _own_change(entry: Entry, current: Round) -> bool:
    """Whether a property that the query tracks changed (deletion and restore always count)."""
    if not current.since or entry.created >= current.since or entry.restored >= current.since:
        return True
    names = current.select if current.select is not None else tuple(entry.changes or ())
    return any((entry.changes or {}).get(name, -1) >= current.since for name in names)


def _member_changes(
    directory: Directory, group_id: str, since: int, member: int, room: int
) -> tuple[list[dict[str, Any]], int | None]:
    """members@delta: up to `room` additions and removals from position `member` of the group's log on.

    As in Entra, members that were deleted themselves are not mentioned.
    """
    log, edges = directory.member_log[group_id], directory.members[group_id]
    changes: list[dict[str, Any]] = []
    for position in range(max(member, bisect_left(log, (since,))), len(log)):
        if len(changes) == room:
            return changes, position
        _, member_id, added = log[position]
        entry = directory.live(member_id)
        if entry is None:
            continue
        change: dict[str, Any] = {"@odata.type": entry.type.odata_type, "id": member_id}
        if added and edges.get(member_id) == position:
            changes.append(change)
        elif not added and since and member_id not in edges:
            changes.append(change | {"@removed": {"reason": "deleted"}})
    return changes, None


def _removed(object_id: str, reason: str) -> dict[str, Any]:
    return {"id": object_id, "@removed": {"reason": reason}}


def _strangers(call: Call, entity: EntityType) -> list[dict[str, Any]]:
    if call.fault(Action.REMOVED_STRANGERS) is None:
        return []
    gone = [entry.id for entry in call.directory.recycled() if entry.type is entity]
    unknown = [str(uuid.uuid4()) for _ in range(STRANGERS)]
    return [_removed(x, "changed") for x in gone] + [_removed(x, "deleted") for x in unknown]


def _seal(call: Call, kind: str, current: Round) -> str:
    return call.sealer.seal(
        {
            "kind": kind,
            "tenant": call.tenant.id,
            "since": current.since,
            "until": current.until,
            "at": current.at,
            "member": current.member,
            "select": current.select,
            "filter": current.filter,
            "issued": timestamp(call.tenant.clock()),
        }
    )


def _open(call: Call, entity: EntityType, token: str) -> dict[str, Any]:
    try:
        state = call.sealer.open(token)
    except TokenForged:
        raise request_bad_request("Badly formed token.") from None
    if state["kind"] != f"{entity.collection}.delta" or state["tenant"] != call.tenant.id:
        raise request_bad_request("Badly formed token.")
    if call.tenant.clock() - datetime.fromisoformat(state["issued"]) > TOKEN_LIFE:
        if state["until"]:
            raise expired_page_token()
        raise GraphError(
            410, "syncStateNotFound", "The sync state generation is not found; the delta token is too old."
        )
    return state


def _context(call: Call, entity: EntityType, current: Round) -> str:
    names = f"({','.join(current.select)})" if current.select is not None else ""
    return f"{call.base_url}/$metadata#{entity.collection}{names}"
