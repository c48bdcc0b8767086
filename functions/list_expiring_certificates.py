"""GET /api/v1/entra-id/expiring-certificates: what ends soon and has no successor, the next end first."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.requests.certificates import ListExpiringCertificates
from shared.api.resources.expiry import ExpiringPage
from shared.api.routes import ENTRA_ID
from shared.context import system_clock
from shared.services import services

bp = func.Blueprint()


@endpoint(
    bp,
    "GET",
    f"{ENTRA_ID}/expiring-certificates",
    permission=Permission.READ,
    query=ListExpiringCertificates,
    reply=ExpiringPage,
)
def list_expiring_certificates(call: Call[None, ListExpiringCertificates]) -> ExpiringPage:
    """Active certificates that end soon and were not renewed, with their users and notices; the next end first."""
    found = services().expiry_listing.find(call.query.as_query(), call.context.deadline)
    return ExpiringPage.of(found, call.url, system_clock())
