"""Who calls, and what they may do: an Entra access token of the own tenant for this app, or an API token.

The two are told apart by their shape and never tried as each other. Whatever is wrong, the reply is the same 401.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.api.api_tokens import EVERY_ABILITY, ApiTokens
from shared.api.permissions import EVERYTHING, Permission, permissions_of
from shared.context import Actor, ActorKind
from shared.entra.claims import TokenType, ValidToken
from shared.entra.token_errors import TokenRejected
from shared.entra.token_validator import TokenValidator
from shared.errors import AppError

BEARER = re.compile(r"bearer +([\x21-\x2b\x2d-\x7e]+)", re.IGNORECASE | re.ASCII)  # RFC 6750 2.1; no comma: one token
API_TOKEN_START = re.compile(r"[0-9]+\|", re.ASCII)


class Unauthenticated(AppError):
    """No, bad or expired credentials (RFC 6750 3)."""

    status, code = 401, "unauthenticated"

    def __init__(self, *, given: bool) -> None:
        super().__init__("Unauthenticated.")
        self.headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer error="invalid_token"' if given else "Bearer"}


class Forbidden(AppError):
    """Known, but not allowed."""

    status, code = 403, "forbidden"

    def __init__(self) -> None:
        super().__init__("This action is unauthorized.")
        self.headers: Mapping[str, str] = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}


@dataclass(frozen=True, slots=True)
class Identity:
    actor: Actor
    permissions: frozenset[Permission]

    def require(self, permission: Permission) -> None:
        """Raises Forbidden."""
        if permission not in self.permissions:
            raise Forbidden


class Authenticator:
    """Turns an Authorization header into an identity.

    Args:
        validator: accepts the own tenant's tokens for this app's own audiences, and nothing else.
        allowed_clients: client ids that may call; empty means any.
    """

    def __init__(self, validator: TokenValidator, api_tokens: ApiTokens, allowed_clients: frozenset[str]) -> None:
        self._validator = validator
        self._api_tokens = api_tokens
        self._allowed_clients = allowed_clients

    def authenticate(self, authorization: Sequence[str]) -> Identity:
        """Raises Unauthenticated, Forbidden, or KeysUnavailable when an Entra token cannot be judged just now.

        Args:
            authorization: the values of all Authorization headers; more than one is refused.
        """
        if not authorization:
            raise Unauthenticated(given=False)
        bearer = BEARER.fullmatch(authorization[0]) if len(authorization) == 1 else None
        if bearer is None:
            raise Unauthenticated(given=True)
        token = bearer.group(1)
        if API_TOKEN_START.match(token):
            return self._by_api_token(token)
        if token.count(".") == 2:
            return self._by_entra_token(token)
        raise Unauthenticated(given=True)

    def _by_api_token(self, plain_text: str) -> Identity:
        token = self._api_tokens.find(plain_text)
        if token is None:
            raise Unauthenticated(given=True)
        actor = Actor(ActorKind.API_TOKEN, str(token.id), token.name)
        return Identity(actor, EVERYTHING if EVERY_ABILITY in token.abilities else permissions_of(token.abilities))

    def _by_entra_token(self, token: str) -> Identity:
        try:
            valid = self._validator.validate(token, expected_type="access")
        except TokenRejected:
            raise Unauthenticated(given=True) from None
        if self._allowed_clients and valid.client_id not in self._allowed_clients:
            raise Forbidden
        return Identity(_actor(valid), permissions_of(valid.roles))


def _actor(token: ValidToken) -> Actor:
    """A delegated token acts for a user only within a scope that the user or an administrator consented to."""
    if token.token_type is TokenType.APP:
        return Actor(ActorKind.APP, token.client_id or token.object_id, token.name or "")
    if not token.scopes:
        raise Forbidden
    return Actor(ActorKind.USER, token.object_id, token.user_principal_name or token.name or "")
