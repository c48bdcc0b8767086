"""The whole document: https://spec.openapis.org/oas/v3.1.1."""

import json
from collections.abc import Iterable
from typing import Any

from shared.api.openapi.operations import operation, path_of
from shared.api.openapi.prose import INTRODUCTION, TITLE, VERSION, Tag
from shared.api.openapi.responses import EXAMPLES, HEADERS
from shared.api.openapi.schemas import Schemas
from shared.api.openapi.security import SCHEMES
from shared.api.routes import Route, routes

OPENAPI = "3.1.1"
SAME_ORIGIN = "/"


def description(registered: Iterable[Route], server: str = SAME_ORIGIN) -> dict[str, Any]:
    """The description of these routes, as JSON values.

    Args:
        server: what the paths are below; the host that gave the document unless a front door has another name.
    """
    ordered = sorted(registered, key=lambda route: (Tag.of(route).order, route.template, route.method))
    schemas = Schemas.of(ordered)
    paths: dict[str, dict[str, Any]] = {}
    for route in ordered:
        paths.setdefault(path_of(route), {})[route.method.lower()] = operation(route, schemas)
    return {
        "openapi": OPENAPI,
        "info": {"title": TITLE, "version": VERSION, "description": INTRODUCTION},
        "servers": [{"url": server}],
        "tags": [tag.as_json() for tag in Tag if any(Tag.of(route) is tag for route in ordered)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "headers": HEADERS,
            "examples": EXAMPLES,
            "securitySchemes": SCHEMES,
        },
    }


def encoded(server: str = SAME_ORIGIN) -> bytes:
    """The description of this app, as it is sent."""
    return json.dumps(description(routes(), server), ensure_ascii=False, separators=(",", ":")).encode()
