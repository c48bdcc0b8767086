"""GET /api/docs: the API's description as a page that lets one try calls. Public."""

import azure.functions as func

from shared.api.documentation import page
from shared.api.endpoint import Call, endpoint
from shared.api.replies import File

bp = func.Blueprint()


@endpoint(bp, "GET", "docs", permission=None, https_only=True, reply_type="text/html", conditional=True)
def docs_page(call: Call[None, None]) -> File:
    """This description as a page, with a form for each call. A token entered there stays in the page."""
    return page(str(call.request.url))
