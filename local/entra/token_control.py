"""Mints tokens and moves signing keys through the control interface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from local.control_client import TenantCalls
from local.entra.directory_control import Ref
from local.entra.tokens import Kind


@dataclass(frozen=True)
class App:
    """A registered client."""

    client_id: str
    client_secret: str
    object_id: str

    @property
    def identifier_uri(self) -> str:
        return f"api://{self.client_id}"


class TokenControl(TenantCalls):
    """The part of a tenant's controls that tokens and keys are made with."""

    app: App

    def mint_token(
        self,
        kind: Kind = "user",
        *,
        version: Literal[1, 2] = 2,
        user: Ref | None = None,
        audience: str | None = None,
        client_id: str | None = None,
        object_id: str | None = None,
        roles: Sequence[str] = (),
        scopes: str = "access_as_user",
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        kid: str | None = None,
        issued_at: float | None = None,
    ) -> str:
        """A token as Entra would issue it for this tenant's app, by default; `claims` and `header` replace members
        or, with None, remove them. `issued_at`: seconds since 1970. `kid`: another than the current key."""
        audience = audience or (self.app.client_id if version == 2 or kind == "id" else self.app.identifier_uri)
        token: str = self._call(
            "tokens.mint",
            kind=kind,
            version=version,
            user=str(user) if user is not None else None,
            audience=audience,
            client_id=client_id or self.app.client_id,
            object_id=object_id,
            roles=list(roles),
            scopes=scopes,
            claims=dict(claims or {}),
            header=dict(header or {}),
            kid=kid,
            issued_at=issued_at,
        )
        return token

    def sign(
        self, payload: Mapping[str, Any] | bytes, header: Mapping[str, Any] | None = None, kid: str | None = None
    ) -> str:
        """A JWS by RS256 over exactly this payload; `header` members replace the usual ones, None removes them."""
        sent = payload.hex() if isinstance(payload, bytes) else dict(payload)
        token: str = self._call("tokens.sign", payload=sent, header=dict(header or {}), kid=kid)
        return token

    def signing_key(self, kid: str | None = None) -> tuple[str, rsa.RSAPrivateKey]:
        """A key of the tenant and its kid, for tests that sign by themselves; the current one by default."""
        answer = self._call("keys.private", kid=kid)
        key = load_pem_private_key(answer["pem"].encode(), None)
        return answer["kid"], cast(rsa.RSAPrivateKey, key)

    def rotate_keys(self, *, publish: bool = True) -> str:
        """A new key signs from now on; the old ones stay published. Returns the new kid."""
        kid: str = self._call("keys.rotate", publish=publish)
        return kid

    def publish_key(self, kid: str) -> None:
        self._call("keys.publish", kid=kid)

    def drop_keys(self, *kids: str) -> None:
        """Takes keys out of the published sets; they can still sign."""
        self._call("keys.drop", kids=list(kids))

    def publish_odd_keys(self, *keys: Mapping[str, Any]) -> None:
        """Replaces the odd entries of both key sets: any JSON objects, published as they are."""
        self._call("keys.set_odd", keys=[dict(key) for key in keys])

    def set_key_issuer(self, kid: str, issuer: str) -> None:
        """The `issuer` that the v2 key set gives for this key."""
        self._call("keys.set_issuer", kid=kid, issuer=issuer)

    def override_discovery(self, version: Literal[1, 2], **members: Any) -> None:
        """Replaces members of a discovery document, e.g. issuer or jwks_uri; without members: as it should be."""
        self._call("discovery.override", version=version, members=members)
