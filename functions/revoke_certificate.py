"""POST /api/v1/entra-id/certificates/{certificate}/revoke: take a certificate away, for good or on hold."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.requests.certificates import RevokeCertificate
from shared.api.resources.certificates import RevokedCertificate
from shared.api.routes import ENTRA_ID
from shared.context import system_clock
from shared.directory.records.certificate import RevocationReason
from shared.services import services

bp = func.Blueprint()


@endpoint(
    bp,
    "POST",
    f"{ENTRA_ID}/certificates/{{certificate}}/revoke",
    permission=Permission.REVOKE,
    body=RevokeCertificate,
    reply=RevokedCertificate,
)
def revoke_certificate(call: Call[RevokeCertificate, None]) -> RevokedCertificate:
    """Revokes a certificate, or puts it on hold with the reason certificateHold; the same again changes nothing."""
    reason = RevocationReason(call.body.reason)
    revoked = services().revocation.revoke(call.path_id("certificate"), reason, call.context, comment=call.body.comment)
    return RevokedCertificate.of(revoked, system_clock())
