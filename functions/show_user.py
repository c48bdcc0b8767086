"""GET /api/v1/entra-id/users/{user}: one user with all attributes and certificates."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.resources.users import UserDetail
from shared.api.routes import ENTRA_ID
from shared.context import system_clock
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "GET", f"{ENTRA_ID}/users/{{user}}", permission=Permission.READ, reply=UserDetail)
def show_user(call: Call[None, None]) -> UserDetail:
    """One user by local id, with all local and Entra attributes, groups and certificates."""
    found = services().reader.user(call.path_id("user"), call.context.deadline)
    return UserDetail.of(found, system_clock())
