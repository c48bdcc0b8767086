"""Entra's tokens, v1 and v2, as its claims references describe them, and whatever else a test wants signed.

Sources: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference and
.../id-token-claims-reference.
"""

import base64
import hashlib
import json
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from local.entra.signing_keys import SigningKey, base64url

Kind = Literal["app", "user", "id"]
LIFETIME = 3599  # seconds: what Entra's `expires_in` says; user tokens get a random 60 to 90 minutes
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"


@dataclass(frozen=True)
class Issuers:
    """A tenant's issuer identifiers."""

    v1: str
    v2: str

    def of(self, version: int) -> str:
        return self.v1 if version == 1 else self.v2


@dataclass(frozen=True)
class TokenSpec:
    """What a token is to say. `audience` is the client id for v2 and ID tokens, the resource as asked for v1."""

    kind: Kind
    version: int
    tenant_id: str
    issuers: Issuers
    audience: str
    client_id: str
    subject_oid: str
    roles: tuple[str, ...] = ()
    user: Mapping[str, Any] | None = None
    scopes: str = "access_as_user"


def claims(spec: TokenSpec, now: float | None = None) -> dict[str, Any]:
    """The claims of a fresh token."""
    issued = int(time.time() if now is None else now)
    found: dict[str, Any] = {
        "aud": spec.audience,
        "iss": spec.issuers.of(spec.version),
        "iat": issued,
        "nbf": issued,
        "exp": issued + LIFETIME + 300,
        "oid": spec.subject_oid,
        "rh": f"1.{base64url(secrets.token_bytes(24))}.",
        "sub": spec.subject_oid if spec.kind == "app" else base64url(_pairwise(spec)),
        "tid": spec.tenant_id,
        "uti": base64url(secrets.token_bytes(16)),
        "ver": "1.0" if spec.version == 1 else "2.0",
    }
    if spec.roles:
        found["roles"] = list(spec.roles)
    if spec.kind != "id":
        found["aio"] = base64url(secrets.token_bytes(33))
        found |= _client_claims(spec)
    if spec.user is not None:
        found |= _user_claims(spec, spec.user)
    return found


def _client_claims(spec: TokenSpec) -> dict[str, Any]:
    """Who asked for the access token, and how it proved itself (a secret: 1)."""
    if spec.version == 1:
        found = {"appid": spec.client_id, "appidacr": "1", "idp": spec.issuers.v1}
    else:
        found = {"azp": spec.client_id, "azpacr": "1"}
    return found | ({"scp": spec.scopes} if spec.kind == "user" else {"idtyp": "app"})


def _user_claims(spec: TokenSpec, user: Mapping[str, Any]) -> dict[str, Any]:
    upn = user["userPrincipalName"]
    found = {"name": user.get("displayName", upn)}
    if spec.version == 1:
        found |= {"upn": upn, "unique_name": upn, "amr": ["pwd"]}
        found |= {f"{k}_name": v for k, v in (("given", user.get("givenName")), ("family", user.get("surname"))) if v}
    else:
        found |= {"preferred_username": upn}
        if user.get("mail"):
            found["email"] = user["mail"]
    return found


def _pairwise(spec: TokenSpec) -> bytes:
    return hashlib.sha256(f"{spec.client_id}|{spec.subject_oid}".encode()).digest()


def sign(payload: Mapping[str, Any] | bytes, key: SigningKey, header: Mapping[str, Any] | None = None) -> str:
    """A compact JWS by RS256, whatever the header claims; `header` replaces or (None) removes members.

    With a `nonce` in the header it is signed as Entra signs Graph's tokens: over a header whose nonce is replaced by
    its SHA-256, so that only Graph can verify it.
    """
    members: dict[str, Any] = {"typ": "JWT", "alg": "RS256", "x5t": key.kid, "kid": key.kid} | dict(header or {})
    members = {name: value for name, value in members.items() if value is not None}
    body = payload if isinstance(payload, bytes) else _json(payload)
    signed = members
    if "nonce" in members:
        signed = members | {"nonce": hashed_nonce(str(members["nonce"]))}
    message = f"{base64url(_json(signed))}.{base64url(body)}".encode()
    signature = key.private.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return f"{base64url(_json(members))}.{base64url(body)}.{base64url(signature)}"


def hashed_nonce(nonce: str) -> str:
    return base64url(hashlib.sha256(nonce.encode()).digest())


def new_nonce() -> str:
    return base64url(uuid.uuid4().bytes + secrets.token_bytes(16))


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
