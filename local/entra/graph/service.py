"""Graph's front: authenticates, throttles, strikes faults, routes, and dresses results and refusals as Graph does."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from local.entra.faults import Fault, Point
from local.entra.graph.batch import SubRequest, answer_batch
from local.entra.graph.bearer import caller_of
from local.entra.graph.call import Call, Caller, Result
from local.entra.graph.collections import count_objects, get_deleted, get_object, list_deleted, list_objects
from local.entra.graph.delta import delta
from local.entra.graph.errors import GraphError, bad_request, not_emulated
from local.entra.graph.memberships import list_related
from local.entra.graph.paging import Sealer
from local.entra.graph.query import collection_and_key, split_target
from local.entra.properties import GROUP, TYPES, USER
from local.entra.strike import replacement, status_fault, wire
from local.entra.tenants import Tenants
from local.entra.traffic import LoggedRequest
from local.https_server import Reply, Request

CONTENT_TYPE = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
COLLECTIONS = {"users": USER, "groups": GROUP}
MESSAGES = {
    429: "Too many requests",
    410: "Resync required. The delta token is no longer usable; start over with a full synchronization.",
}


class GraphService:
    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._sealer = Sealer()

    def answer(self, request: Request) -> Reply:
        """Answers one HTTPS request under /v1.0."""
        request_id = str(uuid.uuid4())
        try:
            caller = caller_of(request.headers.get("authorization"), self._tenants)
        except GraphError as error:
            return self._refusal(error, request.headers, request_id)
        faults = caller.tenant.faults.take(Point.GRAPH, request.target)
        kind, reply = self._answered(caller, request, faults, request_id)
        self._log(caller, kind, request, reply, batched=False)
        return replace(reply, wire=wire(faults))

    def _answered(
        self, caller: Caller, request: Request, faults: tuple[Fault, ...], request_id: str
    ) -> tuple[str, Reply]:
        kind = "refused"
        try:
            refuse_if_struck(faults, request.path, caller.tenant.base_url)
            if (put := replacement(faults)) is not None:
                return "replaced", put
            if request.path == "/v1.0/$batch":
                kind = "batch"
                return kind, self._batch(caller, request, request_id)
            result = self._routed(caller, request, faults)
            return result.kind, self._success(caller, result, request.headers, request_id)
        except GraphError as error:
            return kind, self._refusal(error, request.headers, request_id)

    def _routed(self, caller: Caller, request: Request, faults: tuple[Fault, ...]) -> Result:
        if request.method != "GET":
            raise not_emulated(f"{request.method}, which writes,")
        bucket = caller.tenant.bucket
        if (seconds := bucket.retry_after()) is not None:
            headers = {"Retry-After": str(seconds), "x-ms-throttle-information": "ResourceUnitLimitExceeded"}
            scope = f"Tenant_Application/ReadWrite/{caller.client_id}/{caller.tenant.id}"
            raise GraphError(429, "TooManyRequests", MESSAGES[429], headers | {"x-ms-throttle-scope": scope})
        segments, options = split_target(request.target.removeprefix("/v1.0"))
        path = request.path.removeprefix("/v1.0")
        return route(Call(caller, path, segments, options, request.headers, self._sealer, faults))

    def _batch(self, caller: Caller, request: Request, request_id: str) -> Reply:
        if request.method != "POST":
            raise GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise bad_request("Unable to read JSON request payload. Please ensure Content-Type header is set.")

        def answer(sub: SubRequest) -> Reply:
            inner = Request(sub.method, "/v1.0" + sub.url, sub.headers)
            faults = caller.tenant.faults.take(Point.BATCH, sub.url)
            kind, reply = self._answered_inside(caller, inner, faults, request_id)
            self._log(caller, kind, inner, reply, batched=True)
            return reply

        body = answer_batch(request.body, answer, caller.tenant.random)
        return Reply(200, Reply.json(body).body, self._headers(request.headers, request_id), CONTENT_TYPE)

    def _answered_inside(
        self, caller: Caller, request: Request, faults: tuple[Fault, ...], request_id: str
    ) -> tuple[str, Reply]:
        try:
            refuse_if_struck(faults, request.path, caller.tenant.base_url)
            result = self._routed(caller, request, faults)
            return result.kind, self._success(caller, result, {}, request_id)
        except GraphError as error:
            return "refused", self._refusal(error, {}, request_id)

    def _success(self, caller: Caller, result: Result, headers: Mapping[str, str], request_id: str) -> Reply:
        share = caller.tenant.bucket.spend(result.units)
        extra = {"x-ms-resource-unit": str(result.units), "OData-Version": "4.0"}
        if share > 0.8:
            extra["x-ms-throttle-limit-percentage"] = f"{min(share, 1.8):.2f}"
        sent = self._headers(headers, request_id) | extra
        if isinstance(result.body, int):
            return Reply(200, str(result.body).encode(), sent, "text/plain")
        return Reply(200, Reply.json(result.body).body, sent, CONTENT_TYPE)

    def _refusal(self, error: GraphError, headers: Mapping[str, str], request_id: str) -> Reply:
        inner = {
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": request_id,
            "client-request-id": headers.get("client-request-id", request_id),
        }
        body: dict[str, Any] = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
        return Reply(
            error.status, Reply.json(body).body, self._headers(headers, request_id) | error.headers, "application/json"
        )

    @staticmethod
    def _headers(headers: Mapping[str, str], request_id: str) -> dict[str, str]:
        return {
            "Cache-Control": "no-cache",
            "request-id": request_id,
            "client-request-id": headers.get("client-request-id", request_id),
            "Strict-Transport-Security": "max-age=31536000",
        }

    @staticmethod
    def _log(caller: Caller, kind: str, request: Request, reply: Reply, *, batched: bool) -> None:
        caller.tenant.traffic.note(
            LoggedRequest(
                kind,
                request.method,
                request.target,
                reply.status,
                int(reply.headers.get("x-ms-resource-unit", 0)),
                batched,
                request.headers.get("x-ms-throttle-priority", ""),
                request.headers.get("client-request-id", ""),
            )
        )


def refuse_if_struck(faults: tuple[Fault, ...], path: str, base_url: str) -> None:
    """Raises what a STATUS fault asks for."""
    fault = status_fault(faults)
    if fault is None:
        return
    headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
    if fault.status == 410:  # delta-query-overview, "Synchronization reset"
        headers["Location"] = f"{base_url}{path}?$deltatoken="
    message = MESSAGES.get(fault.status, f"The service answers {fault.code}.")
    raise GraphError(fault.status, fault.code, message, headers)


def route(call: Call) -> Result:
    """Finds what a path names. Raises GraphError 400 for what Graph's model (as far as emulated) does not have."""
    if call.segments[:2] == ["directory", "deletedItems"] and len(call.segments) == 3:
        last = call.segments[2]
        if last.startswith("microsoft.graph."):
            entity = TYPES.get(last.removeprefix("microsoft.graph."))
            if entity not in (USER, GROUP):
                raise bad_request(f"The type '{last}' cannot be found in the model.")
            return list_deleted(call, entity)
        return get_deleted(call, last)
    name, key, rest = collection_and_key(call.segments)
    collection = COLLECTIONS.get(name)
    if collection is None:
        raise bad_request(f"Resource not found for the segment '{name}'.")
    if key is None:
        if not rest:
            return list_objects(call, collection)
        if len(rest) > 1:
            raise bad_request(f"Resource not found for the segment '{rest[1]}'.")
        return count_objects(call, collection) if rest == ["$count"] else delta(call, collection)
    return list_related(call, collection, key, rest) if rest else get_object(call, collection, key)
