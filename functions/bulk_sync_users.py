"""POST /api/v1/entra-id/bulk-sync-users: copy up to 50 users from Entra ID."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.requests.users import BulkSyncUsers
from shared.api.resources.user_sync import BulkSyncReport
from shared.api.routes import ENTRA_ID
from shared.services import services

bp = func.Blueprint()


@endpoint(
    bp, "POST", f"{ENTRA_ID}/bulk-sync-users", permission=Permission.SYNC, body=BulkSyncUsers, reply=BulkSyncReport
)
def bulk_sync_users(call: Call[BulkSyncUsers, None]) -> BulkSyncReport:
    """Copies up to 50 users; one that fails in Entra never fails the others."""
    return BulkSyncReport.of(services().user_sync.sync_many(call.body.user_principal_names, call.context))
