"""GET /api/v1/entra-id/certificates/{certificate}: one certificate with its bytes."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.resources.certificates import CertificateDetail
from shared.api.routes import ENTRA_ID
from shared.context import system_clock
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "GET", f"{ENTRA_ID}/certificates/{{certificate}}", permission=Permission.READ, reply=CertificateDetail)
def show_certificate(call: Call[None, None]) -> CertificateDetail:
    """One certificate by id, with PEM, chain and the values for Entra's `certificateUserIds`."""
    return CertificateDetail.of(services().certificate_views.view(call.path_id("certificate")), system_clock())
