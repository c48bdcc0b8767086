"""POST /api/v1/entra-id/provision-certificate: a certificate for a synchronized user."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.replies import Reply
from shared.api.requests.issuance import ProvisionCertificate
from shared.api.resources.issuance import ProvisionedCertificate
from shared.api.routes import ENTRA_ID
from shared.context import system_clock
from shared.services import services

bp = func.Blueprint()


@endpoint(
    bp,
    "POST",
    f"{ENTRA_ID}/provision-certificate",
    permission=Permission.ISSUE,
    body=ProvisionCertificate,
    reply=ProvisionedCertificate,
    status=201,
    idempotent=True,
)
def provision_certificate(call: Call[ProvisionCertificate, None]) -> Reply:
    """A certificate; the private key, where it was made here, leaves in this reply and never again."""
    pki = services().settings.pki
    order = call.body.as_order(default_validity_days=pki.default_validity_days, default_key_size=pki.default_key_size)
    issued = services().issuance.issue(order, call.context, idempotency_key=call.idempotency_key)
    return Reply(ProvisionedCertificate.of(issued, system_clock()), status=200 if issued.replayed else 201)
