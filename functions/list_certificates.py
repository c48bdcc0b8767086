"""GET /api/v1/entra-id/certificates: the users' certificates, filtered, page by page."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.requests.certificates import ListCertificates
from shared.api.resources.certificates import CertificatePage
from shared.api.routes import ENTRA_ID
from shared.context import system_clock
from shared.services import services

bp = func.Blueprint()


@endpoint(
    bp,
    "GET",
    f"{ENTRA_ID}/certificates",
    permission=Permission.READ,
    query=ListCertificates,
    reply=CertificatePage,
)
def list_certificates(call: Call[None, ListCertificates]) -> CertificatePage:
    """Certificates by user, status, type or days to their end, in the shape of Laravel's paginator."""
    found = services().reader.certificates(call.query.as_query(), call.context.deadline)
    return CertificatePage.of(found, call.url, system_clock())
