"""GET /api/openapi.json: the API's description. Public."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.replies import File
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "GET", "openapi.json", permission=None, https_only=True, conditional=True)
def openapi(call: Call[None, None]) -> File:
    """This description, OpenAPI 3.1, made from the routes and models that serve the API."""
    from shared.api.openapi.publication import published  # much to import, for a request that comes rarely

    return published(services().settings.api_public_url)
