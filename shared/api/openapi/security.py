"""How callers show who they are (`shared.api.authentication`)."""

from collections.abc import Mapping
from typing import Any

from shared.api.permissions import Permission
from shared.api.routes import Route

ENTRA, API_TOKEN = "entra", "api_token"

SCHEMES: Mapping[str, Any] = {
    ENTRA: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token that Entra ID issued for this app's registration. Its app roles (`roles`) "
        "are the caller's permissions.",
    },
    API_TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "{id}|epki_{secret}",
        "description": "An API token, made by `python manage.py token create`. Its abilities are the caller's "
        "permissions.",
    },
}


def requirement(route: Route) -> list[dict[str, list[str]]]:
    """OpenAPI's Security Requirement Objects: either scheme will do; `{}` where it also works without."""
    if route.permission is not None:
        return _either(route.permission)
    if route.detailed_for is not None:
        return [{}, *_either(route.detailed_for)]
    return []


def sentence(route: Route) -> str:
    """What the caller must be allowed to do."""
    if route.permission is not None:
        return f"Needs the permission {_named(route.permission)}."
    if route.detailed_for is not None:
        return f"Public; tells more to callers with the permission {_named(route.detailed_for)}."
    return "Public." if route.https_only else "Public, over http too."


def _either(permission: Permission) -> list[dict[str, list[str]]]:
    return [{scheme: [str(permission)]} for scheme in (ENTRA, API_TOKEN)]


def _named(permission: Permission) -> str:
    return " or ".join(f"`{name}`" for name in dict.fromkeys((permission, Permission.MANAGE)))
