"""POST /api/v1/entra-id/sync: start or continue the tenant sync now."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.replies import Reply
from shared.api.requests.tenant_sync import StartSync
from shared.api.resources.tenant_sync import StartedSync
from shared.api.routes import ENTRA_ID
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "POST", f"{ENTRA_ID}/sync", permission=Permission.SYNC, body=StartSync, reply=StartedSync, status=202)
def start_sync(call: Call[StartSync, None]) -> Reply:
    """Answers at once with the address that tells how it goes; 409 while a sync is under way."""
    services().tenant_sync.start(call.context, call.body.as_order())
    address = call.url.partition("?")[0]
    return Reply(StartedSync(status_url=address), status=202, headers={"Location": address})
