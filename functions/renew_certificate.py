"""POST /api/v1/entra-id/certificates/{certificate}/renew: another certificate in the place of one about to end."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.replies import Reply
from shared.api.requests.issuance import RenewCertificate
from shared.api.resources.issuance import ProvisionedCertificate
from shared.api.routes import ENTRA_ID
from shared.context import system_clock
from shared.services import services

bp = func.Blueprint()


@endpoint(
    bp,
    "POST",
    f"{ENTRA_ID}/certificates/{{certificate}}/renew",
    permission=Permission.ISSUE,
    body=RenewCertificate,
    reply=ProvisionedCertificate,
    status=201,
    idempotent=True,
)
def renew_certificate(call: Call[RenewCertificate, None]) -> Reply:
    """A certificate of the same type for the same user; the old one is superseded when the overlap ends."""
    order = call.body.as_order(call.path_id("certificate"))
    issued = services().renewal.renew(order, call.context, idempotency_key=call.idempotency_key)
    return Reply(ProvisionedCertificate.of(issued, system_clock()), status=200 if issued.replayed else 201)
