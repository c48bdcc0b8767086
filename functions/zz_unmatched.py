"""Whatever no other route takes: 404 or 405 in this API's own shape.

The Functions host tries routes in the order of function names, so this one must sort last.
"""

import azure.functions as func

from shared.api.endpoint import observed
from shared.api.errors import MethodNotAllowed, RouteNotFound, error_reply
from shared.api.routes import ROUTE_PREFIX, allowed_methods
from shared.errors import AppError

bp = func.Blueprint()

ANY_PATH = "{*path}"
ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@bp.route(route=ANY_PATH, methods=ALL_METHODS, auth_level=func.AuthLevel.ANONYMOUS)
def zz_unmatched(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """An unknown route (404), or a known one with another method (405 with `Allow`)."""
    with observed(req, context, "zz_unmatched", ANY_PATH) as seen:
        seen.error = _refusal(str(req.method), str(req.route_params.get("path") or "").strip("/"))
        reply = error_reply(seen.error, seen.asked.request_id, req.headers.get("accept", ""))
        seen.status = reply.status_code
    return reply


def _refusal(method: str, path: str) -> AppError:
    allowed = allowed_methods(path)
    shown = f"{ROUTE_PREFIX}/{path}"[:200]
    if allowed:
        return MethodNotAllowed(method, shown, allowed)
    return RouteNotFound(f"The route {shown} could not be found.")
