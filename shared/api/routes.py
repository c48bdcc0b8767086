"""The table of all HTTP routes, filled as functions register: for 404 and 405 replies, and for the API's description.

Whatever the description (`shared.api.openapi`) says of a route is either here or in the models named here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from shared.api.permissions import Permission

ROUTE_PREFIX = "api"  # host.json, extensions.http.routePrefix: the Functions host's default
ENTRA_ID = "v1/entra-id"
PKI = "v1/pki"  # these URLs are in certificates: they never change
JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One HTTP function as its caller sees it.

    Attributes:
        permission: what the caller must hold; None for a public route.
        detailed_for: the permission that lets a public route tell more; None where it tells everybody the same.
        https_only: whether plain http is refused. Where a permission is needed it always is.
        summary, description: the handler's docstring, its first line and the rest.
        body, query, reply: the models of JSON bodies and of the query string.
        body_type: the media type of a body that is no JSON, and is not parsed here.
        reply_type: the media type of a reply that is no JSON.
        status: of the reply when all goes well.
        also: further statuses that come with the same model, and when.
        conditional: whether the reply carries an ETag, and If-None-Match is answered with 304.
        idempotent: whether the header Idempotency-Key is taken.
    """

    function: str
    method: str
    template: str
    permission: Permission | None = None
    detailed_for: Permission | None = None
    https_only: bool = False
    summary: str = ""
    description: str = ""
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    reply: type[BaseModel] | None = None
    body_type: str | None = None
    reply_type: str = JSON_TYPE
    status: int = 200
    also: Mapping[int, str] = field(default_factory=dict)
    conditional: bool = False
    idempotent: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        """HEAD wherever GET is (RFC 9110 9.3.2). It is answered as GET is: the host leaves the content out."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    def matches(self, path: str) -> bool:
        """True where `path` (without the prefix and slashes around) is of this route's template."""
        literal_or_parameter = re.split(r"(\{[^}]+\})", self.template)
        pattern = "".join(map(_pattern, literal_or_parameter))
        return re.fullmatch(pattern, path, re.IGNORECASE) is not None


def _pattern(part: str) -> str:
    """Of a literal, of a `{parameter}`, or of a `{*parameter}` that takes slashes too."""
    if not part.startswith("{"):
        return re.escape(part)
    return ".+" if part.startswith("{*") else "[^/]+"


_routes: dict[str, Route] = {}


def register_route(route: Route) -> None:
    _routes[route.function] = route


def routes() -> Iterable[Route]:
    return _routes.values()


def allowed_methods(path: str) -> list[str]:
    """The methods that some route takes for this path, sorted; empty where there is no such path."""
    return sorted({method for route in _routes.values() if route.matches(path) for method in route.methods})
