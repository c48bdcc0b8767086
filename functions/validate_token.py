"""POST /api/v1/entra-id/validate-token: is this Entra token genuine, and what does it say?"""

import azure.functions as func
from shared.api.permissions import Permission
from shared.entra.token_validator import TokenRejected
from shared.services import services

from shared.api.endpoint import Call, Reply, endpoint
from shared.api.requests import ValidateToken
from shared.api.resources import TokenVerdict
from shared.api.routes import ENTRA_ID

bp = func.Blueprint()


@endpoint(
    bp, "POST", f"{ENTRA_ID}/validate-token", permission=Permission.VALIDATE, body=ValidateToken, reply=TokenVerdict
)
def validate_token(call: Call[ValidateToken, None]) -> TokenVerdict | Reply:
    """The verdict on an Entra access or ID token; 401 with a code that says what is wrong."""
    body = call.body
    try:
        token = services().token_validator.validate(
            body.token, audience=body.audience, expected_type=body.expected_type
        )
    except TokenRejected as rejected:
        return Reply({"valid": False, "error": rejected.error, "message": rejected.message}, status=401)
    return TokenVerdict.of(token)
