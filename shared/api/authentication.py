"""Who calls, and what they may do: an Entra access token of the own tenant for this app, or an API token.

The two are told apart by their shape and never tried as each other. Every refusal is a 401 with Laravel's message; its
`detail` and `error` tell an integrator what to mend.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.api.api_tokens import EVERY_ABILITY, ApiTokens
from shared.api.permissions import EVERYTHING, Permission, permissions_of
from shared.context import Actor, ActorKind
from shared.entra.tokens.claims import TokenType, ValidToken
from shared.entra.tokens.errors import TokenRejected
from shared.entra.tokens.validator import TokenValidator
from shared.errors import AppError

API_TOKEN_START = re.compile(r"[0-9]+\|", re.ASCII)


class Unauthenticated(AppError):
    """No, bad or expired credentials, with the challenge of RFC 6750 3.

    Args:
        error: RFC 6750's error code; None where there were no credentials at all.
        reason: what to mend, in fixed words without quotation marks: they are repeated in the challenge.
        token_error: the validator's code, if an Entra token was refused.
    """

    status, code = 401, "unauthenticated"

    def __init__(self, error: str | None, reason: str, token_error: str | None = None) -> None:
        details = {"detail": reason} | ({"error": token_error} if token_error else {})
        super().__init__("Unauthenticated.", details=details)
        challenge = f'Bearer error="{error}", error_description="{reason}"' if error else 'Bearer realm="entra-pki"'
        self.headers: Mapping[str, str] = {"WWW-Authenticate": challenge}


class Forbidden(AppError):
    """Known, but not allowed."""

    status, code = 403, "forbidden"

    def __init__(self, reason: str) -> None:
        super().__init__("This action is unauthorized.", details={"detail": reason})
        challenge = f'Bearer error="insufficient_scope", error_description="{reason}"'
        self.headers: Mapping[str, str] = {"WWW-Authenticate": challenge}


def lacks(permission: Permission) -> Forbidden:
    """What a caller without this permission is told."""
    names = dict.fromkeys((permission, Permission.MANAGE))
    return Forbidden(f"This needs the app role or ability {' or '.join(names)}.")


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller."""

    actor: Actor
    permissions: frozenset[Permission]

    def require(self, permission: Permission) -> None:
        """Raises Forbidden."""
        if permission not in self.permissions:
            raise lacks(permission)


class Authenticator:
    """Turns an Authorization header into an identity.

    Args:
        validator: accepts the own tenant's tokens for this app's own audiences, and nothing else.
        allowed_clients: client ids (`azp`, `appid`) that may call with Entra tokens; empty means any.
    """

    def __init__(self, validator: TokenValidator, api_tokens: ApiTokens, allowed_clients: frozenset[str]) -> None:
        self._validator = validator
        self._api_tokens = api_tokens
        self._allowed_clients = frozenset(client_id.lower() for client_id in allowed_clients)

    def authenticate(self, authorization: Sequence[str]) -> Identity:
        """Raises Unauthenticated, Forbidden, or KeysUnavailable when an Entra token cannot be judged just now.

        Args:
            authorization: the values of all Authorization headers; more than one is refused.
        """
        if not authorization:
            raise Unauthenticated(None, "The request has no Authorization header.")
        token = _bearer_token(authorization[0]) if len(authorization) == 1 else None
        if token is None:
            raise Unauthenticated("invalid_request", "One Authorization header with one bearer token is expected.")
        if API_TOKEN_START.match(token):
            return self._by_api_token(token)
        return self._by_entra_token(token)

    def _by_api_token(self, plain_text: str) -> Identity:
        token = self._api_tokens.find(plain_text)
        if token is None:
            raise Unauthenticated("invalid_token", "The API token is unknown, revoked or expired.")
        actor = Actor(ActorKind.API_TOKEN, str(token.id), token.name)
        return Identity(actor, EVERYTHING if EVERY_ABILITY in token.abilities else permissions_of(token.abilities))

    def _by_entra_token(self, token: str) -> Identity:
        try:
            valid = self._validator.validate(token, expected_type="access")
        except TokenRejected as rejected:
            raise Unauthenticated("invalid_token", rejected.message, str(rejected.error)) from None
        if self._allowed_clients and valid.client_id not in self._allowed_clients:
            raise Forbidden("The client that the token was issued to may not call this API.")
        return Identity(_actor(valid), permissions_of(valid.roles))


def _bearer_token(header: str) -> str | None:
    """The one token of `Bearer …` (RFC 6750 2.1). Of its characters only those are looked at that would make it two:
    where a header came twice, the host joins the values by a comma; the rest is for who reads the token."""
    scheme, _, token = header.partition(" ")
    token = token.lstrip(" ")
    if scheme.lower() != "bearer" or not token or " " in token or "," in token:
        return None
    return token


def _actor(token: ValidToken) -> Actor:
    """A token without scopes is never taken for a user's access token (`claims.TokenType`)."""
    if token.token_type is TokenType.USER:
        return Actor(ActorKind.USER, token.object_id, token.user_principal_name or token.name or "")
    return Actor(ActorKind.APP, str(token.client_id), token.name or "")
