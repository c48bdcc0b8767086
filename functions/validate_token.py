"""POST /api/v1/entra-id/validate-token: is this Entra token genuine, and what does it say?"""

import azure.functions as func

from shared.api.endpoint import Call, endpoint
from shared.api.permissions import Permission
from shared.api.requests.tokens import ValidateToken
from shared.api.resources.tokens import TokenVerdict
from shared.api.routes import ENTRA_ID
from shared.services import services

bp = func.Blueprint()


@endpoint(
    bp, "POST", f"{ENTRA_ID}/validate-token", permission=Permission.VALIDATE, body=ValidateToken, reply=TokenVerdict
)
def validate_token(call: Call[ValidateToken, None]) -> TokenVerdict:
    """The claims of a valid Entra access or ID token; 401 with a code that says what is wrong with any other."""
    body = call.body
    return TokenVerdict.of(
        services().token_validator.validate(body.token, audience=body.audience, expected_type=body.expected_type)
    )
