"""GET /api/v1/pki/{issuer}/chain.pem: the issuer's certificate and those above it, PEM. Public, over http too."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.replies import File
from shared.api.routes import PKI
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "GET", f"{PKI}/{{issuer}}/chain.pem", permission=None, reply_type="application/x-pem-file")
def pki_chain_pem(call: Call[None, None]) -> File:
    """The issuer's certificate and those above it, PEM."""
    issuer = services().authority.issuer(call.path("issuer"))
    return File(issuer.chain_pem.encode(), "public, max-age=86400")
