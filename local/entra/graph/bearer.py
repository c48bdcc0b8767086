"""Checks the bearer token of a Graph request as Graph would: signature, audience, life, and what it permits."""

import json
import time
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from local.entra.graph.call import Caller
from local.entra.graph.errors import GraphError
from local.entra.signing_keys import base64url
from local.entra.tenants import Tenant, Tenants
from local.entra.tokens import from_base64url, hashed_nonce


def unauthenticated(message: str) -> GraphError:
    return GraphError(401, "InvalidAuthenticationToken", message, {"WWW-Authenticate": 'Bearer realm=""'})


def caller_of(authorization: str | None, tenants: Tenants) -> Caller:
    """Who calls. Raises GraphError 401."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise unauthenticated("Access token is empty.")
    try:
        header_part, payload_part, signature_part = token.split(".")
        header, payload = _object(header_part), _object(payload_part)
        signature = from_base64url(signature_part)
    except ValueError:
        raise unauthenticated("IDX14100: JWT is not well formed, there are no dots (.) or it cannot be read.") from None
    tenant = tenants.find(str(payload.get("tid", "")))
    if tenant is None:
        raise unauthenticated("Access token validation failure. Unknown tenant.")
    _check_signature(tenant, header, payload_part, signature)
    _check_claims(payload, tenant.graph_audiences(), (tenant.issuers.v1, tenant.issuers.v2))
    permissions = payload.get("roles", []) + str(payload.get("scp", "")).split()
    return Caller(tenant, str(payload.get("appid", payload.get("azp", ""))), frozenset(permissions))


def _check_signature(tenant: Tenant, header: dict[str, Any], payload_part: str, signature: bytes) -> None:
    signed = dict(header)
    if "nonce" in signed:
        signed["nonce"] = hashed_nonce(str(signed["nonce"]))
    message = f"{base64url(json.dumps(signed, separators=(',', ':'), ensure_ascii=False).encode())}.{payload_part}"
    try:
        key = tenant.keys.key(str(header.get("kid")))
        if header.get("alg") != "RS256":
            raise InvalidSignature
        key.private.public_key().verify(signature, message.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (KeyError, InvalidSignature):
        raise unauthenticated("Access token validation failure. Signature is invalid.") from None


def _check_claims(payload: dict[str, Any], audiences: frozenset[str], issuers: tuple[str, ...]) -> None:
    now = time.time()
    if payload.get("aud") not in audiences:
        raise unauthenticated("Access token validation failure. Invalid audience.")
    if payload.get("iss") not in issuers:
        raise unauthenticated("Access token validation failure. Invalid issuer.")
    if not isinstance(payload.get("exp"), int) or payload["exp"] < now:
        raise unauthenticated("Lifetime validation failed, the token is expired.")
    if isinstance(payload.get("nbf"), int) and payload["nbf"] > now + 300:
        raise unauthenticated("Lifetime validation failed, the token is not yet valid.")


def _object(part: str) -> dict[str, Any]:
    found = json.loads(from_base64url(part))
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found
