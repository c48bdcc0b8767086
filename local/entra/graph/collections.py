"""Lists, counts and single objects: /users, /groups and /directory/deletedItems."""

import itertools
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from local.entra.directory import Entry, timestamp
from local.entra.faults import Action
from local.entra.graph.call import Call, Result, check_select, cost, rendered
from local.entra.graph.errors import GraphError, bad_request, not_found, request_bad_request
from local.entra.graph.filters import Filter, parse_filter
from local.entra.graph.paging import TokenForged
from local.entra.graph.query import DEFAULT_PAGE, refuse_unemulated
from local.entra.properties import USER, EntityType

PAGE_TOKEN_LIFE = timedelta(hours=1)  # Microsoft names no number; clients must cope with Directory_ExpiredPageToken
LIST_OPTIONS = ("$select", "$filter", "$top", "$count", "$skiptoken", "$search", "$orderby", "$expand")


def list_objects(call: Call, entity: EntityType) -> Result:
    """GET /users or /groups: a page, with a nextLink when there is more."""
    call.require(entity)
    call.options.only(*LIST_OPTIONS)
    refuse_unemulated(call.options)
    select = check_select(call.options.select, entity)
    if entity.single_only.intersection(select or ()):
        raise GraphError(501, "NotImplemented", "This operation target is not yet supported.")
    wanted = _filter(call, entity)
    units = cost(2 if entity is USER else 1, call.options)
    with call.directory.lock:
        start = skip_state(call, f"{entity.collection}.list").get("from", 0)
        page, position = _page(call, entity, wanted, start, call.options.top or DEFAULT_PAGE)
        body = collection_body(call, entity.collection, [rendered(call, entry, select) for entry in page])
        if call.advanced:
            body["@odata.count"] = _count(call, entity, wanted)
    if position is not None:
        body["@odata.nextLink"] = next_link(call, f"{entity.collection}.list", {"from": position})
    return Result(f"{entity.collection}.list", finish_page(call, body), units)


def count_objects(call: Call, entity: EntityType) -> Result:
    """GET /users/$count: a bare number, and only with ConsistencyLevel: eventual."""
    call.require(entity)
    call.options.only("$filter")
    require_eventual(call)
    with call.directory.lock:
        number = _count(call, entity, _filter(call, entity, advanced=True))
    return Result(f"{entity.collection}.count", 0 if call.fault(Action.EMPTY) else number, 1)


def get_object(call: Call, entity: EntityType, key: str) -> Result:
    """GET /users/{id or UPN} or /groups/{id}."""
    call.require(entity)
    call.options.only("$select", "$expand")
    refuse_unemulated(call.options)
    select = check_select(call.options.select, entity)
    with call.directory.lock:
        entry = find(call, entity, key)
        body = {"@odata.context": context(call, entity.collection) + "/$entity"} | rendered(call, entry, select)
    return Result(f"{entity.collection}.get", body, cost(1, call.options))


def list_deleted(call: Call, entity: EntityType) -> Result:
    """GET /directory/deletedItems/microsoft.graph.user: the recycle bin."""
    call.require(entity)
    call.options.only(*LIST_OPTIONS)
    refuse_unemulated(call.options, "$filter")
    select = check_select(call.options.select, entity)
    kind = "deletedItems.list"
    with call.directory.lock:
        call.directory.empty_recycle_bin()
        found = [entry for entry in call.directory.recycled() if entry.type is entity]
        page, more = window(found, skip_state(call, kind).get("from", 0), call.options.top or DEFAULT_PAGE)
        body = collection_body(call, entity.collection, [rendered(call, entry, select) for entry in page])
    if more is not None:
        body["@odata.nextLink"] = next_link(call, kind, {"from": more})
    return Result(kind, finish_page(call, body), cost(1, call.options))


def get_deleted(call: Call, object_id: str) -> Result:
    """GET /directory/deletedItems/{id}."""
    call.options.only("$select")
    with call.directory.lock:
        call.directory.empty_recycle_bin()
        entry = call.directory.entries.get(guid(object_id))
        if entry is None or entry.deleted is None:
            raise not_found(object_id)
        call.require(entry.type)
        select = check_select(call.options.select, entry.type)
        body = {"@odata.context": context(call, "directoryObjects") + "/$entity"}
        return Result("deletedItems.get", body | rendered(call, entry, select, typed=True), cost(1, call.options))


def find(call: Call, entity: EntityType, key: str) -> Entry:
    """The live object that a URL's key names: users by id or UPN, groups by id only. Raises GraphError 404, 400."""
    entry = call.directory.user(key) if entity is USER else call.directory.live(guid(key))
    if entry is None or entry.type is not entity:
        raise not_found(key)
    return entry


def guid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise request_bad_request(f"Invalid object identifier '{text}'.") from None


def _filter(call: Call, entity: EntityType, advanced: bool = False) -> Filter | None:
    text = call.options.get("$filter")
    return parse_filter(text, entity, advanced=advanced or call.advanced) if text is not None else None


def _page(
    call: Call, entity: EntityType, wanted: Filter | None, start: int, size: int
) -> tuple[list[Entry], int | None]:
    """Up to `size` objects from position `start` of the collection on, and the position after them, if any."""
    if wanted is not None and wanted.keys is not None:
        return window(list(_pinned(call, entity, wanted)), start, size)
    order = call.directory.order[entity.name]
    page: list[Entry] = []
    for position in range(start, len(order)):
        entry = call.directory.live(order[position])
        if entry is None or (wanted is not None and not wanted.matches(entry)):
            continue
        if len(page) == size:
            return page, position
        page.append(entry)
    return page, None


def _pinned(call: Call, entity: EntityType, wanted: Filter) -> Iterator[Entry]:
    seen: set[str] = set()
    for key in wanted.keys or ():
        entry = call.directory.user(key) if entity is USER else call.directory.live(key.lower())
        if entry is not None and entry.type is entity and entry.id not in seen and wanted.matches(entry):
            seen.add(entry.id)
            yield entry


def _count(call: Call, entity: EntityType, wanted: Filter | None) -> int:
    return sum(1 for entry in call.directory.all(entity.name) if wanted is None or wanted.matches(entry))


def window(entries: list[Entry], start: int, size: int) -> tuple[list[Entry], int | None]:
    end = start + size
    return entries[start:end], end if end < len(entries) else None


def require_eventual(call: Call) -> None:
    if not call.eventual:
        raise request_bad_request("$count is not currently supported.")


def skip_state(call: Call, kind: str) -> dict[str, Any]:
    """What the request's $skiptoken holds; {} on the first page. Raises GraphError for foreign and expired ones."""
    token = call.options.get("$skiptoken")
    if token is None:
        return {}
    try:
        state = call.sealer.open(token)
    except TokenForged:
        raise bad_request("Invalid $skiptoken.") from None
    if state.get("kind") != kind or state.get("tenant") != call.tenant.id or state.get("query") != _query(call):
        raise bad_request("The $skiptoken does not belong to this request.")
    if call.tenant.clock() - datetime.fromisoformat(state["at"]) > PAGE_TOKEN_LIFE:
        raise expired_page_token()
    return state


def expired_page_token() -> GraphError:
    message = "The specified page token value has expired and can no longer be included in your request."
    return GraphError(400, "Directory_ExpiredPageToken", message)


def next_link(call: Call, kind: str, state: dict[str, Any]) -> str:
    """The request's own URL with a $skiptoken."""
    at = timestamp(call.tenant.clock())
    token = call.sealer.seal(state | {"kind": kind, "tenant": call.tenant.id, "query": _query(call), "at": at})
    query = _query(call)
    return f"{call.base_url}{call.path}?{query}{'&' if query else ''}$skiptoken={token}"


def _query(call: Call) -> str:
    """The query without its skip token."""
    parts = [part for part in call.options.raw.split("&") if part]
    return "&".join(part for part in parts if not part.lower().startswith(("$skiptoken=", "%24skiptoken=")))


def context(call: Call, collection: str) -> str:
    select = call.options.get("$select")
    return f"{call.base_url}/$metadata#{collection}" + (f"({select})" if select else "")


def collection_body(call: Call, collection: str, value: list[dict[str, Any]]) -> dict[str, Any]:
    return {"@odata.context": context(call, collection), "value": value}


def finish_page(call: Call, body: dict[str, Any]) -> dict[str, Any]:
    """Applies the page faults; value comes last, as Graph has it."""
    value = body.pop("value")
    if call.fault(Action.EMPTY):
        value = []
        body.pop("@odata.nextLink", None)
        if "@odata.count" in body:
            body["@odata.count"] = 0
    if call.fault(Action.NO_NEXT_LINK):
        body.pop("@odata.nextLink", None)
    if call.fault(Action.DUPLICATE_OBJECTS):
        value = list(itertools.chain.from_iterable((item, dict(item)) for item in value))
    foreign = call.fault(Action.FOREIGN_LINK)
    for name in ("@odata.nextLink", "@odata.deltaLink"):
        if foreign is not None and name in body:
            body[name] = body[name].replace(call.tenant.base_url, foreign.text, 1)
    return body | {"value": value}
