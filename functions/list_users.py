"""GET /api/v1/entra-id/users: the synchronized users, searched, filtered, page by page."""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.requests.users import ListUsers
from shared.api.resources.users import UserPage
from shared.api.routes import ENTRA_ID
from shared.context import system_clock
from shared.services import services

bp = func.Blueprint()


@endpoint(bp, "GET", f"{ENTRA_ID}/users", permission=Permission.READ, query=ListUsers, reply=UserPage)
def list_users(call: Call[None, ListUsers]) -> UserPage:
    """The synchronized users with their active certificates, in the shape of Laravel's paginator."""
    found = services().reader.users(call.query.as_query(system_clock()), call.context.deadline)
    return UserPage.of(found, call.url, system_clock())
