"""One route as an OpenAPI operation."""

from typing import Any

from shared.api.openapi.failures import failures_of
from shared.api.openapi.parameters import parameters
from shared.api.openapi.prose import Tag
from shared.api.openapi.responses import responses
from shared.api.openapi.schemas import Schemas
from shared.api.openapi.security import requirement, sentence
from shared.api.routes import JSON_TYPE, ROUTE_PREFIX, Route


def path_of(route: Route) -> str:
    """The route's address as OpenAPI writes it: `{*rest}`, which takes slashes too, is a parameter like others."""
    return f"/{ROUTE_PREFIX}/{route.template.replace('{*', '{')}"


def operation(route: Route, schemas: Schemas) -> dict[str, Any]:
    """OpenAPI's Operation Object."""
    described: dict[str, Any] = {
        "operationId": route.function,
        "summary": route.summary,
        "description": "\n\n".join(filter(None, (route.description, sentence(route)))),
        "tags": [Tag.of(route).label],
        "security": requirement(route),
    }
    if found := parameters(route, schemas):
        described["parameters"] = found
    if body := _body(route, schemas):
        described["requestBody"] = body
    return described | {"responses": responses(route, failures_of(route), schemas)}


def _body(route: Route, schemas: Schemas) -> dict[str, Any] | None:
    if route.body is not None:
        required = any(field.is_required() for field in route.body.model_fields.values())
        examples = {", ".join(body) or "nothing": {"value": body} for body in schemas.examples(route.body)}
        media_type = {"schema": schemas.reference(route.body, "validation"), "examples": examples}
        return {"required": required, "content": {JSON_TYPE: media_type}}
    if route.body_type is not None:
        return {"required": True, "content": {route.body_type: {}}}
    return None
