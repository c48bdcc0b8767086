"""What a valid Entra token says."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from shared.api.resources.base import Resource

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.entra.tokens.claims import ValidToken


class TokenPayload(Resource):
    """What a valid token says. Only `tid` and `oid` together identify somebody."""

    sub: str
    upn: str | None = Field(examples=["ada@contoso.example"])
    email: str | None
    name: str | None = Field(examples=["Ada Lovelace"])
    roles: tuple[str, ...] = Field(description="app roles", examples=[["manage-entra-integration"]])
    groups: tuple[str, ...] = Field(description="object ids")
    exp: int = Field(description="seconds since 1970", examples=[1795435200])
    iat: int = Field(description="seconds since 1970", examples=[1795431600])
    oid: str = Field(description="object id of the user or the service principal")
    tid: str = Field(description="tenant id")
    aud: str
    iss: str
    app_id: str | None = Field(description="the client that the token was issued to")
    token_type: str = Field(description="user, app or id")
    groups_overage: bool = Field(description="the caller is in more groups than fit: ask Graph for them")


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
