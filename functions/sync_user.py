"""POST /api/v1/entra-id/sync-user: copy one user from Entra ID."""

import azure.functions as func
from shared.api.permissions import Permission
from shared.services import services

from shared.api.endpoint import Call, endpoint
from shared.api.requests import SyncUser
from shared.api.resources import SyncedUser
from shared.api.routes import ENTRA_ID

bp = func.Blueprint()


@endpoint(bp, "POST", f"{ENTRA_ID}/sync-user", permission=Permission.SYNC, body=SyncUser, reply=SyncedUser)
def sync_user(call: Call[SyncUser, None]) -> SyncedUser:
    """Copies the user with this user principal name from Entra ID, with groups."""
    return SyncedUser.of(services().user_sync.sync(call.body.user_principal_name, call.context))
