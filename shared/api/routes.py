"""The table of all HTTP routes, filled as the functions register: for 404 and 405 replies, and for the OpenAPI page."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel

from shared.api.permissions import Permission

ROUTE_PREFIX = "api"  # host.json, extensions.http.routePrefix: the Functions host's default
ENTRA_ID = "v1/entra-id"
PKI = "v1/pki"  # these URLs are in certificates: they never change


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP function as its caller sees it. `permission` None means public."""

    function: str
    method: str
    template: str
    permission: Permission | None
    summary: str
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    reply: type[BaseModel] | None
    status: int

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
