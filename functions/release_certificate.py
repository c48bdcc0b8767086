"""POST /api/v1/entra-id/certificates/{certificate}/release: lift a hold."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.requests.certificates import ReleaseCertificate
from shared.api.resources.certificates import RevokedCertificate
from shared.api.routes import ENTRA_ID
from shared.context import system_clock
from shared.services import services

bp = func.Blueprint()


@endpoint(
    bp,
    "POST",
    f"{ENTRA_ID}/certificates/{{certificate}}/release",
    permission=Permission.REVOKE,
    body=ReleaseCertificate,
    reply=RevokedCertificate,
)
def release_certificate(call: Call[ReleaseCertificate, None]) -> RevokedCertificate:
    """Lifts a hold that was put by request; the directory's holds end when the user is back."""
    released = services().revocation.release(call.path_id("certificate"), call.context)
    return RevokedCertificate.of(released, system_clock())
