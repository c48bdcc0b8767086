"""What a valid Entra token says."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from shared.api.resources.base import Resource

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.entra.claims import ValidToken


class TokenPayload(Resource):
    """What a valid token says. Only `tid` and `oid` together identify somebody."""

    sub: str
    upn: str | None
    email: str | None
    name: str | None
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    exp: int
    iat: int
    oid: str
    tid: str
    aud: str
    iss: str
    app_id: str | None
    token_type: str = Field(description="user, app or id")
    groups_overage: bool


class TokenVerdict(Resource):
    valid: Literal[True] = True
    payload: TokenPayload

    @classmethod
    def of(cls, token: "ValidToken") -> Self:
        payload = TokenPayload(
            sub=token.subject,
            upn=token.user_principal_name,
            email=token.email,
            name=token.name,
            roles=token.roles,
            groups=token.groups,
            exp=token.expires_at,
            iat=token.issued_at,
            oid=token.object_id,
            tid=token.tenant_id,
            aud=token.audience,
            iss=token.issuer,
            app_id=token.client_id,
            token_type=token.token_type,
            groups_overage=token.groups_overage,
        )
        return cls(payload=payload)
