"""The one place that turns an error into an HTTP reply: Laravel's `message` and `errors`, and RFC 9457's members."""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import azure.functions as func

from shared.api.resources.problem import Problem
from shared.api.routes import JSON_TYPE
from shared.errors import AppError
from shared.settings import InvalidSettings

log = logging.getLogger("entra_pki.api")

PROBLEM_TYPE_BASE = "urn:entra-pki:error:"  # RFC 9457 3.1.1: an absolute URI that identifies the type, not a page
PROBLEM_JSON_TYPE = "application/problem+json"


class RouteNotFound(AppError):
    status, code = 404, "route_not_found"


class MethodNotAllowed(AppError):
    """405 with the `Allow` header that RFC 9110 15.5.6 requires."""

    status, code = 405, "method_not_allowed"

    def __init__(self, method: str, path: str, allowed: list[str]) -> None:
        super().__init__(
            f"The {method} method is not supported for route {path}. Supported methods: {', '.join(allowed)}."
        )
        self.headers = {"Allow": ", ".join(allowed)}


class NoSuchId(AppError):
    """A path names a record by what can be no id; the reply is that of an id that nothing has."""

    status = 404

    def __init__(self, kind: str, value: str) -> None:
        super().__init__(f"There is no {kind} {value[:20]}.")
        self.code = f"{kind}_not_found"


class MalformedUrl(AppError):
    status, code = 400, "malformed_url"

    def __init__(self) -> None:
        super().__init__("The address or the Host header of the request is malformed.")


class MalformedIdempotencyKey(AppError):
    status, code = 400, "malformed_idempotency_key"


class HttpsRequired(AppError):
    status, code = 403, "https_required"


def error_reply(error: BaseException, request_id: str, accept: str = "") -> func.HttpResponse:
    """The reply for any error; what is not an AppError is our bug: 500, with nothing but the request id."""
    if not isinstance(error, AppError):
        log.error("request %s failed", request_id, exc_info=error)
        error = AppError("Server Error")
    elif isinstance(error, InvalidSettings):
        log.error("request %s: %s", request_id, error.report)
    elif error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request %s: %s %s: %s", request_id, error.status, error.code, error.message, exc_info=error)
    return func.HttpResponse(
        problem_of(error, request_id).model_dump_json(exclude_none=True),
        status_code=error.status,
        mimetype=PROBLEM_JSON_TYPE if _prefers_problem_json(accept) else JSON_TYPE,
        charset="utf-8",
        headers=headers_of(error, request_id),
    )


def problem_of(error: AppError, request_id: str) -> Problem:
    members: dict[str, Any] = {
        "message": error.message,
        "errors": error.errors or None,
        "type": PROBLEM_TYPE_BASE + error.code,
        "title": error.title or HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "request_id": request_id,
    }
    return Problem.model_validate(members | dict(error.details))


def headers_of(error: AppError, request_id: str) -> dict[str, str]:
    headers = {"X-Request-Id": request_id, "Cache-Control": "no-store"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after.total_seconds())))
    own: Mapping[str, str] = getattr(error, "headers", {})
    return headers | dict(own)


def _prefers_problem_json(accept: str) -> bool:
    """True where `application/problem+json` is accepted and weighs no less than `application/json` (RFC 9110)."""
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        weights[media_type] = weight
    problem = weights.get(PROBLEM_JSON_TYPE, 0.0)
    return problem > 0 and problem >= weights.get(JSON_TYPE, 0.0)
