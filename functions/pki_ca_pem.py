"""GET /api/v1/pki/{issuer}/ca.pem: the issuer's certificate, PEM. Public, over http too."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.replies import File
from shared.api.routes import PKI
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "GET", f"{PKI}/{{issuer}}/ca.pem", permission=None, reply_type="application/x-pem-file")
def pki_ca_pem(call: Call[None, None]) -> File:
    """The issuer's certificate, PEM."""
    issuer = services().authority.issuer(call.path("issuer"))
    return File(issuer.pem.encode(), "public, max-age=86400")
