"""The decorator that makes a function of plain values out of an HTTP trigger.

It authenticates, authorises, parses, calls, shapes the reply and maps every error, in this order: credentials,
permission, body size and type, JSON, fields, records. Route and method were settled by the Functions host before.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar, Unpack, cast
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import azure.functions as func
from pydantic import BaseModel

from shared.api.body import read_object
from shared.api.errors import HttpsRequired, MalformedUrl, NoSuchId, error_reply
from shared.api.idempotency import idempotency_key
from shared.api.permissions import Permission
from shared.api.public_url import public_url
from shared.api.replies import Result, response_of
from shared.api.routes import ROUTE_PREFIX, Route, register_route
from shared.api.validation import validated
from shared.context import Actor, ActorKind, Context
from shared.errors import AppError
from shared.services import services
from shared.telemetry.recorder import Traces
from shared.telemetry.work import AskedFor, ObservedRequest, observed_request

B = TypeVar("B")
Q = TypeVar("Q")
ID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
PUBLIC = Actor(ActorKind.APP, "public")


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """A request as a handler sees it: authenticated, authorised, parsed."""

    request: func.HttpRequest
    context: Context
    body: B
    query: Q

    @property
    def url(self) -> str:
        """The request's URL as its sender knows it: what links in a reply start from."""
        return public_url(str(self.request.url), services().settings.api_public_url)

    def path(self, name: str) -> str:
        return str(self.request.route_params[name])

    def path_id(self, kind: str) -> int:
        """The local id that the path gives for `kind`. Raises NoSuchId for what is no id."""
        value = self.path(kind)
        if not ID.fullmatch(value):
            raise NoSuchId(kind, value)
        return int(value)

    @property
    def idempotency_key(self) -> str | None:
        """The header Idempotency-Key. Raises MalformedIdempotencyKey."""
        return idempotency_key(self.header("idempotency-key"))

    def header(self, name: str) -> str | None:
        return cast("str | None", self.request.headers.get(name))


class RouteFacts(TypedDict, total=False):
    """What may be said of a route beyond what it is called; `Route` says what each means."""

    detailed_for: Permission
    https_only: bool
    body: type[BaseModel]
    query: type[BaseModel]
    reply: type[BaseModel]
    body_type: str
    reply_type: str
    status: int
    also: Mapping[int, str]
    conditional: bool
    idempotent: bool


Handler = Callable[[Call[Any, Any]], Result]
Trigger = Callable[[func.HttpRequest, func.Context], func.HttpResponse]


def endpoint(
    blueprint: func.Blueprint, method: str, template: str, *, permission: Permission | None, **facts: Unpack[RouteFacts]
) -> Callable[[Handler], Trigger]:
    """Registers a handler as an HTTP function named like it.

    Args:
        permission: what the caller must hold; None for a public route, which is also served over http unless
            `https_only` is among the facts.
        facts: what else there is to say of the route: its models, its status and so on (`Route`).
    """

    def register(handler: Handler) -> Trigger:
        name = handler.__name__
        summary, _, description = inspect.cleandoc(handler.__doc__ or "").partition("\n")
        route = Route(
            function=name,
            method=method,
            template=template,
            permission=permission,
            summary=summary,
            description=description.strip(),
            **facts,
        )
        register_route(route)

        def trigger(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
            return _serve(req, context, route, handler)

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


def _serve(req: func.HttpRequest, context: func.Context, route: Route, handler: Handler) -> func.HttpResponse:
    with observed(req, context, route.function, route.template) as seen:
        request_id = seen.asked.request_id
        try:
            if route.permission is not None or route.https_only:
                _require_https(req)
            if route.permission is not None:
                seen.actor = _authorised(req, route.permission)
            call: Call[Any, Any] = Call(req, Context(seen.actor, request_id), _body(req, route), _query(req, route))
            response = response_of(handler(call), route, request_id, req.headers)
        except Exception as error:  # noqa: BLE001  (the one place that answers for everything)
            seen.error = error
            response = error_reply(error, request_id, req.headers.get("accept", ""))
        seen.status = response.status_code
    return response


def observed(
    req: func.HttpRequest, context: func.Context, function: str, template: str
) -> AbstractContextManager[ObservedRequest]:
    """The request's log line, span and duration; whoever asks counts as the public until authenticated."""
    asked = AskedFor(function, str(req.method), f"/{ROUTE_PREFIX}/{template}", request_id_of(req))
    return observed_request(asked, Traces(req.headers, context.trace_context), PUBLIC)


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
