"""POST /api/v1/entra-id/sync-user: copy one user from Entra ID."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.requests.users import SyncUser
from shared.api.resources.user_sync import SyncedUserResource
from shared.api.routes import ENTRA_ID
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "POST", f"{ENTRA_ID}/sync-user", permission=Permission.SYNC, body=SyncUser, reply=SyncedUserResource)
def sync_user(call: Call[SyncUser, None]) -> SyncedUserResource:
    """Copies the user with this user principal name from Entra ID, with groups."""
    return SyncedUserResource.of(services().user_sync.sync(call.body.user_principal_name, call.context))
