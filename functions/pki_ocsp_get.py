"""GET /api/v1/pki/{issuer}/ocsp/{request}: OCSP that caches can keep (RFC 6960 appendix A.1). Public, over http too."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.errors import MethodNotAllowed
from shared.api.ocsp_path import request_in
from shared.api.replies import File
from shared.api.routes import PKI, ROUTE_PREFIX
from shared.services import services

bp = func.Blueprint()


@endpoint(
    bp,
    "GET",
    f"{PKI}/{{issuer}}/ocsp/{{*request}}",
    permission=None,
    reply_type="application/ocsp-response",
    conditional=True,
)
def pki_ocsp_get(call: Call[None, None]) -> File:
    """The status of up to 16 certificates: an OCSP request in the path, base64 and URL-encoded."""
    if not call.request.route_params.get("request"):  # `…/ocsp/`, which the host takes for this route as well
        raise MethodNotAllowed("GET", f"{ROUTE_PREFIX}/{PKI}/{call.path('issuer')[:80]}/ocsp", ["POST"])
    reply = services().ocsp_responder.answer(call.path("issuer"), request_in(str(call.request.url)))
    etag = reply.etag if reply.cacheable else None
    return File(reply.content, reply.cache_control, etag, reply.this_update)
