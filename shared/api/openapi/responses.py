"""What a route answers: its own reply, and the errors it may send, each with a body as it really looks."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from shared.api.errors import PROBLEM_JSON_TYPE, headers_of, problem_of
from shared.api.openapi.failures import SHARED_FAILURES
from shared.api.openapi.schemas import Schemas
from shared.api.resources.problem import Problem
from shared.api.routes import JSON_TYPE, Route
from shared.errors import AppError

REQUEST_ID = "6f9d3c1e-2b7a-4d58-9c0f-1e2d3c4b5a69"

REPLAYED = "The reply to an earlier request with this Idempotency-Key. The private key is not in it again."

HEADERS: Mapping[str, Any] = {
    "X-Request-Id": {
        "description": "The request's id, as log and audit trail have it.",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[A-Za-z0-9._\-]{1,128}$"},
    },
    "Retry-After": {
        "description": "After how many seconds another try may succeed.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "What is wrong with the credentials (RFC 6750 3).",
        "schema": {"type": "string", "pattern": "^Bearer "},
    },
    "ETag": {"description": "The version sent.", "schema": {"type": "string"}},
    "Last-Modified": {"description": "When this version was made.", "schema": {"type": "string"}},
    "Location": {"description": "Where the outcome can be asked for.", "schema": {"type": "string", "format": "uri"}},
}

EXAMPLES: Mapping[str, Any] = {
    error.code: {"value": problem_of(error, REQUEST_ID).model_dump(mode="json", exclude_none=True)}
    for error in SHARED_FAILURES
}


def responses(route: Route, failures: Iterable[AppError], schemas: Schemas) -> dict[str, Any]:
    """OpenAPI's Responses Object."""
    found = {str(route.status): _success(route, HTTPStatus(route.status).phrase, schemas)}
    if route.idempotent:
        found["200"] = _success(route, REPLAYED, schemas)
    for status, meaning in route.also.items():
        found[str(status)] = _success(route, meaning, schemas)
    if route.conditional:
        found["304"] = {"description": "What the caller has is still right.", "headers": _headers("ETag")}
    by_status: dict[str, list[AppError]] = {}
    for failure in failures:
        by_status.setdefault(str(failure.status), []).append(failure)
    errors = {status: _failure(alike, schemas) for status, alike in by_status.items()}
    return dict(sorted((errors | found).items()))


def _success(route: Route, meaning: str, schemas: Schemas) -> dict[str, Any]:
    media_type = {"schema": schemas.reference(route.reply, "serialization")} if route.reply is not None else {}
    names = ["ETag", "Last-Modified"] if route.conditional else []
    if route.status == HTTPStatus.ACCEPTED:
        names.append("Location")
    return {"description": meaning, "headers": _headers(*names), "content": {route.reply_type: media_type}}


def _failure(failures: list[AppError], schemas: Schemas) -> dict[str, Any]:
    """The response of one status, with an example for each code that it may carry."""
    names = sorted({name for failure in failures for name in headers_of(failure, "")} & set(HEADERS))
    problem = schemas.reference(Problem, "serialization")
    examples = {failure.code: _example(failure) for failure in failures}
    return {
        "description": f"{HTTPStatus(failures[0].status).phrase}: {', '.join(f'`{code}`' for code in examples)}.",
        "headers": _headers(*names),
        "content": {JSON_TYPE: {"schema": problem, "examples": examples}, PROBLEM_JSON_TYPE: {"schema": problem}},
    }


def _example(failure: AppError) -> dict[str, Any]:
    if failure in SHARED_FAILURES:
        return {"$ref": f"#/components/examples/{failure.code}"}
    return {"value": problem_of(failure, REQUEST_ID).model_dump(mode="json", exclude_none=True)}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys(("X-Request-Id", *names))}
