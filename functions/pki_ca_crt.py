"""GET /api/v1/pki/{issuer}/ca.crt: the issuer's certificate, DER. Public, over http too."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.replies import File
from shared.api.routes import PKI
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "GET", f"{PKI}/{{issuer}}/ca.crt", permission=None, reply_type="application/pkix-cert")
def pki_ca_crt(call: Call[None, None]) -> File:
    """The issuer's certificate, DER."""
    issuer = services().authority.issuer(call.path("issuer"))
    return File(issuer.der, "public, max-age=86400")
