"""What a request to a route has in its path, its query string and its headers."""

import re
from collections.abc import Mapping
from typing import Any

from shared.api.idempotency import IDEMPOTENCY_KEY
from shared.api.openapi.schemas import Schemas
from shared.api.routes import Route

LOCAL_ID: Mapping[str, Any] = {"type": "integer", "minimum": 1, "maximum": 9_999_999_999}
PATH_PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "issuer": {
        "description": "The issuer's id, as certificates have it in their addresses.",
        "schema": {"type": "string", "examples": ["5a0c9f3e1b2d4c68"]},
    },
    "request": {
        "description": "An OCSP request in DER, base64 and URL-encoded.",
        "schema": {"type": "string", "minLength": 1},
    },
    "asset": {"description": "A file of the documentation page.", "schema": {"type": "string", "minLength": 1}},
}
IF_NONE_MATCH: Mapping[str, Any] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of what the caller has already.",
    "schema": {"type": "string"},
}
IDEMPOTENCY: Mapping[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body within 24 hours does the work once.",
    "schema": {"type": "string", "pattern": f"^{IDEMPOTENCY_KEY.pattern}$"},
}


def parameters(route: Route, schemas: Schemas) -> list[dict[str, Any]]:
    """OpenAPI's Parameter Objects."""
    return [*_in_path(route), *_in_query(route, schemas), *_in_headers(route)]


def local_ids(route: Route) -> list[str]:
    """Whose local ids the path takes: every parameter that is not named above."""
    return [name for name in _names_in_path(route) if name not in PATH_PARAMETERS]


def _names_in_path(route: Route) -> list[str]:
    return re.findall(r"\{\*?(\w+)\}", route.template)


def _in_path(route: Route) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, **_path_parameter(name)} for name in _names_in_path(route)]


def _path_parameter(name: str) -> Mapping[str, Any]:
    return PATH_PARAMETERS.get(name) or {"description": f"The local id of the {name}.", "schema": LOCAL_ID}


def _in_query(route: Route, schemas: Schemas) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    properties = schemas.properties(route.query)
    return [{"name": name, "in": "query", **_described(schema)} for name, schema in properties.items()]


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's description stands beside its schema."""
    description = {"description": schema["description"]} if "description" in schema else {}
    return description | {"schema": {name: value for name, value in schema.items() if name != "description"}}


def _in_headers(route: Route) -> list[dict[str, Any]]:
    chosen = ((route.conditional, IF_NONE_MATCH), (route.idempotent, IDEMPOTENCY))
    return [dict(header) for taken, header in chosen if taken]
