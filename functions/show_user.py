"""GET /api/v1/entra-id/users/{user}: one user with all attributes and certificates."""

import azure.functions as func
from shared.api.permissions import Permission
from shared.services import services

from shared.api.endpoint import Call, endpoint
from shared.api.resources import UserDetail
from shared.api.routes import ENTRA_ID

bp = func.Blueprint()


@endpoint(bp, "GET", f"{ENTRA_ID}/users/{{user}}", permission=Permission.READ, reply=UserDetail)
def show_user(call: Call[None, None]) -> UserDetail:
    """One user by local id, with all local and Entra attributes, groups and certificates."""
    return UserDetail.of(services().queries.user(call.path("user")))
