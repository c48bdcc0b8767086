"""Whatever no other route takes: 404 or 405 in this API's own shape.

The Functions host tries routes in the order of function names, so this one must sort last.
"""

import azure.functions as func

from shared.api.endpoint import request_id_of
from shared.api.errors import MethodNotAllowed, RouteNotFound, error_reply
from shared.api.routes import ROUTE_PREFIX, allowed_methods

bp = func.Blueprint()

ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@bp.route(route="{*path}", methods=ALL_METHODS, auth_level=func.AuthLevel.ANONYMOUS)
def zz_unmatched(req: func.HttpRequest) -> func.HttpResponse:
    """An unknown route (404), or a known one with another method (405 with `Allow`)."""
    path = str(req.route_params.get("path") or "").strip("/")
    allowed = allowed_methods(path)
    shown = f"{ROUTE_PREFIX}/{path}"[:200]
    error = (
        MethodNotAllowed(str(req.method), shown, allowed)
        if allowed
        else RouteNotFound(f"The route {shown} could not be found.")
    )
    return error_reply(error, request_id_of(req), req.headers.get("accept", ""))
