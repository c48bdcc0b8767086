"""POST /api/v1/pki/{issuer}/ocsp: OCSP (RFC 6960 appendix A.1). Public, over http too."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.replies import File
from shared.api.routes import PKI
from shared.services import services

bp = func.Blueprint()


@endpoint(
    bp,
    "POST",
    f"{PKI}/{{issuer}}/ocsp",
    permission=None,
    reply_type="application/ocsp-response",
    body_type="application/ocsp-request",
)
def pki_ocsp_post(call: Call[None, None]) -> File:
    """The status of up to 16 certificates: an OCSP request in the body."""
    reply = services().ocsp_responder.answer(call.path("issuer"), call.request.get_body())
    return File(reply.content, "no-store")
