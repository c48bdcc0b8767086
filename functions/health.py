"""GET /api/v1/entra-id/health: public; details only to callers with credentials."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint, is_authenticated
from shared.api.permissions import Permission
from shared.api.replies import Reply
from shared.api.resources.health import HealthResource
from shared.api.routes import ENTRA_ID
from shared.context import system_clock
from shared.health import Finding, HealthReport, HealthStatus
from shared.services import services
from shared.settings import InvalidSettings

bp = func.Blueprint()


@endpoint(
    bp,
    "GET",
    f"{ENTRA_ID}/health",
    permission=None,
    detailed_for=Permission.READ,
    reply=HealthResource,
    also={503: "A part that the app cannot work without does not work."},
)
def health(call: Call[None, None]) -> Reply:
    """Whether storage, Graph, token keys, signing, sync and CRL work; 503 when one of them does not."""
    try:
        report = services().health.report()
    except InvalidSettings as invalid:
        finding = Finding(HealthStatus.UNHEALTHY, invalid.message)
        report = HealthReport({"settings": finding}, system_clock())
    status = 503 if report.status is HealthStatus.UNHEALTHY else 200
    return Reply(HealthResource.of(report, with_reasons=is_authenticated(call.request)), status)
