"""The decorator that makes a function of plain values out of an HTTP trigger.

It authenticates, authorises, parses, calls, shapes the reply and maps every error, in this order: credentials,
permission, body size and type, JSON, fields, records. Route and method were settled by the Functions host before.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Generic, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import azure.functions as func
from pydantic import BaseModel, TypeAdapter

from shared.api.body import read_object
from shared.api.conditional import http_date, is_unchanged
from shared.api.errors import HttpsRequired, MalformedUrl, NoSuchId, error_reply
from shared.api.permissions import Permission
from shared.api.routes import Route, register_route
from shared.api.validation import validated
from shared.context import Actor, ActorKind, Context
from shared.errors import AppError
from shared.services import services

log = logging.getLogger("entra_pki.api")

B = TypeVar("B")
Q = TypeVar("Q")
ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
PUBLIC = Actor(ActorKind.APP, "public")
_MAPPING: TypeAdapter[Mapping[str, Any]] = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """A request as a handler sees it: authenticated, authorised, parsed."""

    request: func.HttpRequest
    context: Context
    body: B
    query: Q

    @property
    def url(self) -> str:
        return str(self.request.url)

    def path(self, name: str) -> str:
        return str(self.request.route_params[name])

    def path_id(self, kind: str) -> int:
        """The local id that the path gives for `kind`. Raises NoSuchId for what is no id."""
        value = self.path(kind)
        if not ID.fullmatch(value):
            raise NoSuchId(kind, value)
        return int(value)

    def header(self, name: str) -> str | None:
        return cast("str | None", self.request.headers.get(name))


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that is more than a 200 with a model."""

    content: BaseModel | Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """A reply that is no JSON: a certificate, a CRL.

    With `etag` (quotes included) and `last_modified`, conditional requests get a 304 where nothing has changed.
    """

    content: bytes
    media_type: str
    cache_control: str
    etag: str | None = None
    last_modified: datetime | None = None


Result = BaseModel | Reply | File
Handler = Callable[[Call[Any, Any]], Result]
Trigger = Callable[[func.HttpRequest], func.HttpResponse]


def endpoint(
    blueprint: func.Blueprint,
    method: str,
    template: str,
    *,
    permission: Permission | None,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    reply: type[BaseModel] | None = None,
    status: int = 200,
) -> Callable[[Handler], Trigger]:
    """Registers a handler as an HTTP function named like it.

    Args:
        permission: what the caller must hold; None for a public route, which is also served over http.
        body, query: the models to validate against.
        reply, status: what is answered when all goes well.
    """

    def register(handler: Handler) -> Trigger:
        name = handler.__name__
        summary = (handler.__doc__ or "").partition("\n")[0]
        route = Route(name, method, template, permission, summary, body, query, reply, status)
        register_route(route)

        def trigger(req: func.HttpRequest) -> func.HttpResponse:
            return _serve(req, route, handler)

        # No functools.wraps: the worker reads the signature through __wrapped__ and would refuse to load `call`.
        trigger.__name__ = trigger.__qualname__ = name
        trigger.__doc__ = handler.__doc__
        trigger.__module__ = handler.__module__
        blueprint.route(route=template, methods=route.methods, auth_level=func.AuthLevel.ANONYMOUS)(trigger)
        return trigger

    return register


def request_id_of(req: func.HttpRequest) -> str:
    """The caller's X-Request-Id where it is well formed, else a new one."""
    given = req.headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else str(uuid4())


def _serve(req: func.HttpRequest, route: Route, handler: Handler) -> func.HttpResponse:
    started = time.perf_counter()
    request_id = request_id_of(req)
    actor = PUBLIC
    try:
        if route.permission is not None:
            _require_https(req)
            actor = _authorised(req, route.permission)
        call: Call[Any, Any] = Call(req, Context(actor, request_id), _body(req, route), _query(req, route))
        response = _response(handler(call), call, route.status)
    except Exception as error:  # noqa: BLE001  (the one place that answers for everything)
        response = error_reply(error, request_id, req.headers.get("accept", ""))
    log.info(
        "%s %s by %s:%s in %.1f ms, request %s",
        route.function,
        response.status_code,
        actor.kind,
        actor.id,
        (time.perf_counter() - started) * 1000,
        request_id,
    )
    return response


def _authorised(req: func.HttpRequest, permission: Permission) -> Actor:
    authorization = req.headers.get("authorization")
    identity = services().authenticator.authenticate([authorization] if authorization is not None else [])
    identity.require(permission)
    return identity.actor


def _body(req: func.HttpRequest, route: Route) -> BaseModel | None:
    """Of a model without required fields, no body is an empty one; a chunked body is one that the host has lost."""
    if route.body is None:
        return None
    content = req.get_body()
    needed = any(field.is_required() for field in route.body.model_fields.values())
    if not content and not needed and "transfer-encoding" not in req.headers:
        return validated(route.body, {})
    return validated(route.body, read_object(content, req.headers.get("content-type", "")))


def _query(req: func.HttpRequest, route: Route) -> BaseModel | None:
    return validated(route.query, query_parameters(str(req.url))) if route.query else None


def _require_https(req: func.HttpRequest) -> None:
    """Tokens and private keys never travel over http, which stays open for the public PKI routes only."""
    forwarded = req.headers.get("x-forwarded-proto", "https").lower().split(",")
    if any(scheme.strip() != "https" for scheme in forwarded):
        raise HttpsRequired("Use https: over http only CA certificates, CRLs and OCSP are served.")


def query_parameters(url: str) -> dict[str, str]:
    """The raw query string's parameters, the last of each name: the host drops empty ones from `req.params`.

    Raises: MalformedUrl.
    """
    try:
        return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    except ValueError:
        raise MalformedUrl from None


def is_authenticated(req: func.HttpRequest) -> bool:
    """For public routes that tell more to callers with credentials; whatever is wrong with these, they tell less."""
    if "authorization" not in req.headers:
        return False
    try:
        _require_https(req)
        _authorised(req, Permission.READ)
    except AppError:
        return False
    return True


def _response(result: Result, call: Call[Any, Any], status: int) -> func.HttpResponse:
    request_id = call.context.request_id
    if isinstance(result, File):
        return _file_response(result, call, status)
    reply = result if isinstance(result, Reply) else Reply(result, status)
    headers = {"X-Request-Id": request_id, "Cache-Control": "no-store", **reply.headers}
    return func.HttpResponse(
        to_json(reply.content), status_code=reply.status, mimetype="application/json", charset="utf-8", headers=headers
    )


def _file_response(file: File, call: Call[Any, Any], status: int) -> func.HttpResponse:
    headers = {"X-Request-Id": call.context.request_id, "Cache-Control": file.cache_control}
    if file.etag is not None and file.last_modified is not None:
        headers |= {"ETag": file.etag, "Last-Modified": http_date(file.last_modified)}
        known = call.header("if-none-match"), call.header("if-modified-since")
        if is_unchanged(*known, file.etag, file.last_modified):
            return func.HttpResponse(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return func.HttpResponse(file.content, status_code=status, mimetype=file.media_type, headers=headers)


def to_json(content: BaseModel | Mapping[str, Any]) -> str:
    if isinstance(content, BaseModel):
        return content.model_dump_json()
    return _MAPPING.dump_json(content).decode()
