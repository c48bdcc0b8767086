"""GET /api/v1/entra-id/users: the synchronized users, searched, filtered, page by page."""

import azure.functions as func
from shared.api.permissions import Permission
from shared.services import services

from shared.api.endpoint import Call, Reply, endpoint
from shared.api.requests import ListUsers
from shared.api.resources import UserPage, user_page
from shared.api.routes import ENTRA_ID

bp = func.Blueprint()


@endpoint(bp, "GET", f"{ENTRA_ID}/users", permission=Permission.READ, query=ListUsers, reply=UserPage)
def list_users(call: Call[None, ListUsers]) -> Reply:
    """The synchronized users with their active certificates, as Laravel's paginator shows them."""
    return Reply(user_page(services().queries.users(call.query), call.url))
