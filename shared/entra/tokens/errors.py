"""Why a token is refused: the fixed list of codes and sentences of docs/tokens.md, and the two errors that carry them.

A sentence tells an integrator what to mend. It never repeats anything from the token, so nothing that an attacker wrote
is echoed or logged.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from shared.errors import AppError


class TokenError(StrEnum):
    """The machine-readable reason, in the order in which the checks are made."""

    NOT_AN_ENTRA_TOKEN = "not_an_entra_token"  # noqa: S105  (codes, not secrets; so are the next)
    TOKEN_TOO_LARGE = "token_too_large"  # noqa: S105
    ENCRYPTED_TOKEN = "encrypted_token"  # noqa: S105
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105
    UNSUPPORTED_ALGORITHM = "unsupported_algorithm"
    UNSUPPORTED_HEADER = "unsupported_header"
    GRAPH_TOKEN = "graph_token"  # noqa: S105
    MALFORMED_KEY_ID = "malformed_key_id"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_TENANT = "wrong_tenant"
    WRONG_VERSION = "wrong_version"
    WRONG_AUDIENCE = "wrong_audience"
    UNKNOWN_SIGNING_KEY = "unknown_signing_key"
    WRONG_SIGNATURE = "wrong_signature"
    MALFORMED_TIMES = "malformed_times"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"  # noqa: S105
    LIFETIME_TOO_LONG = "lifetime_too_long"
    MALFORMED_CLAIMS = "malformed_claims"
    WRONG_TOKEN_TYPE = "wrong_token_type"  # noqa: S105


SENTENCES: Mapping[TokenError, str] = {
    TokenError.NOT_AN_ENTRA_TOKEN: "This is an API token of this service, not an Entra ID token.",
    TokenError.TOKEN_TOO_LARGE: "The token is larger than 16 KiB.",
    TokenError.ENCRYPTED_TOKEN: "The token is encrypted (JWE); send a signed token of three segments.",
    TokenError.MALFORMED_TOKEN: "The token is not a JWT: three base64url segments of strict JSON are expected.",
    TokenError.UNSUPPORTED_ALGORITHM: "The token must be signed with RS256.",
    TokenError.UNSUPPORTED_HEADER: "The token's header has a member or a typ that Entra ID tokens do not have.",
    TokenError.GRAPH_TOKEN: (
        "The token was issued for Microsoft Graph, and only Microsoft Graph can validate it. "
        "Request a token whose scope is this API's, not Graph's."
    ),
    TokenError.MALFORMED_KEY_ID: "The token's header must name its signing key in kid.",
    TokenError.WRONG_ISSUER: "The token's issuer is not one that is trusted here.",
    TokenError.WRONG_TENANT: "The token's tenant (tid) is missing or is not that of its issuer.",
    TokenError.WRONG_VERSION: "The token's version (ver) is not that of its issuer.",
    TokenError.WRONG_AUDIENCE: "The token was issued for another audience (aud).",
    TokenError.UNKNOWN_SIGNING_KEY: "The token's issuer does not publish the key that signed it.",
    TokenError.WRONG_SIGNATURE: "The token's signature does not fit its content.",
    TokenError.MALFORMED_TIMES: "The token's exp, iat or nbf is missing, is not a whole number or contradicts another.",
    TokenError.TOKEN_EXPIRED: "The token has expired.",
    TokenError.TOKEN_NOT_YET_VALID: "The token is not valid yet (nbf or iat is in the future).",
    TokenError.LIFETIME_TOO_LONG: "The token lives longer than Entra ID tokens may.",
    TokenError.MALFORMED_CLAIMS: "A claim of the token is missing or does not have the form that Entra ID gives it.",
    TokenError.WRONG_TOKEN_TYPE: "The token is valid, but not of the expected type (access or id).",
}


class TokenRejected(AppError):
    """The token is not valid, and `error` says why. Its reply is validate-token's `{valid: false, error, message}`."""

    status, code = 401, "invalid_token"

    def __init__(self, error: TokenError) -> None:
        super().__init__(SENTENCES[error], details={"valid": False, "error": str(error)})
        self.error = error


class KeysUnavailable(AppError):
    """Whether the token is valid cannot be told now, because its issuer's keys cannot be had."""

    status, code = 503, "signing_keys_unavailable"

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__(
            "The signing keys of the token's issuer cannot be fetched at present, so the token can neither be called "
            "valid nor invalid.",
            retry_after=retry_after,
        )
