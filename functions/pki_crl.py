"""GET /api/v1/pki/{issuer}/crl: the issuer's CRL, DER. Public, over http too."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.replies import File
from shared.api.routes import PKI
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "GET", f"{PKI}/{{issuer}}/crl", permission=None, reply_type="application/pkix-crl", conditional=True)
def pki_crl(call: Call[None, None]) -> File:
    """The issuer's CRL, DER."""
    issuer = services().authority.issuer(call.path("issuer"))
    crl = services().crl_store.current(issuer.id)
    return File(crl.der, crl.cache_control, crl.etag, crl.this_update)
