"""GET /api/docs/{asset}: style and script of the documentation page. Public."""

import azure.functions as func

from shared.api.documentation import asset
from shared.api.endpoint import Call, endpoint
from shared.api.replies import File

bp = func.Blueprint()


@endpoint(bp, "GET", "docs/{asset}", permission=None, https_only=True, reply_type="text/*", conditional=True)
def docs_asset(call: Call[None, None]) -> File:
    """What the documentation page is made of: Swagger UI, and the script that starts it."""
    return asset(call.path("asset"))
