"""One route as an OpenAPI operation."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.api.idempotency import IDEMPOTENCY_KEY
from shared.api.openapi.prose import Tag
from shared.api.openapi.responses import responses
from shared.api.openapi.schemas import Schemas
from shared.api.openapi.security import requirement, sentence
from shared.api.routes import JSON_TYPE, ROUTE_PREFIX, Route
from shared.errors import AppError

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


def path_of(route: Route) -> str:
    """The route's address as OpenAPI writes it: `{*rest}`, which takes slashes too, is a parameter like others."""
    return f"/{ROUTE_PREFIX}/{route.template.replace('{*', '{')}"


@dataclass(frozen=True)
class Operation:
    route: Route
    failures: Sequence[AppError]
    schemas: Schemas

    def as_json(self) -> dict[str, Any]:
        """OpenAPI's Operation Object."""
        route = self.route
        operation: dict[str, Any] = {
            "operationId": route.function,
            "summary": route.summary,
            "description": "\n\n".join(filter(None, (route.description, sentence(route)))),
            "tags": [Tag.of(route).label],
            "security": requirement(route),
        }
        if parameters := [*self._path(), *self._query(), *self._headers()]:
            operation["parameters"] = parameters
        if body := self._body():
            operation["requestBody"] = body
        return operation | {"responses": responses(route, self.failures, self.schemas)}

    def _path(self) -> list[dict[str, Any]]:
        names = re.findall(r"\{\*?(\w+)\}", self.route.template)
        return [{"name": name, "in": "path", "required": True, **_path_parameter(name)} for name in names]

    def _query(self) -> list[dict[str, Any]]:
        if self.route.query is None:
            return []
        return [
            {"name": name, "in": "query", **_described(schema)}
            for name, schema in self.schemas.properties(self.route.query).items()
        ]

    def _headers(self) -> list[dict[str, Any]]:
        chosen = ((self.route.conditional, IF_NONE_MATCH), (self.route.idempotent, IDEMPOTENCY))
        return [dict(header) for taken, header in chosen if taken]

    def _body(self) -> dict[str, Any] | None:
        model = self.route.body
        if model is not None:
            required = any(field.is_required() for field in model.model_fields.values())
            content = {JSON_TYPE: {"schema": self.schemas.reference(model, "validation")}}
            return {"required": required, "content": content}
        if self.route.body_type is not None:
            return {"required": True, "content": {self.route.body_type: {}}}
        return None


def _path_parameter(name: str) -> Mapping[str, Any]:
    return PATH_PARAMETERS.get(name) or {"description": f"The local id of the {name}.", "schema": LOCAL_ID}


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's description stands beside its schema."""
    description = {"description": schema["description"]} if "description" in schema else {}
    return description | {"schema": {name: value for name, value in schema.items() if name != "description"}}
