"""GET /api/v1/entra-id/statistics: how many users and certificates, and how the sync is doing."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.resources.statistics import StatisticsResource
from shared.api.routes import ENTRA_ID
from shared.context import system_clock
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "GET", f"{ENTRA_ID}/statistics", permission=Permission.READ, reply=StatisticsResource)
def statistics(call: Call[None, None]) -> StatisticsResource:
    """Exact counts of users and certificates, and the last tenant sync."""
    counts = services().reader.statistics(call.context.deadline)
    return StatisticsResource.of(counts, services().tenant_sync.status(), system_clock())
