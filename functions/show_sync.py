"""GET /api/v1/entra-id/sync: how the tenant sync is doing."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.resources.tenant_sync import SyncStatusResource
from shared.api.routes import ENTRA_ID
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "GET", f"{ENTRA_ID}/sync", permission=Permission.READ, reply=SyncStatusResource)
def show_sync(call: Call[None, None]) -> SyncStatusResource:
    """The last run, the round under way, removals that are held back, and samples of what went wrong."""
    return SyncStatusResource.of(services().tenant_sync.status())
