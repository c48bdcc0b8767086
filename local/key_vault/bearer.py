"""Checks the bearer token of a vault request against the Entra authority that the vault belongs to.

The key set and the issuer come from the authority's own discovery document, over HTTPS, as for the real service.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import urllib3

from local.key_vault.errors import VaultError

RESOURCE = "https://vault.azure.net"
AUDIENCES = [RESOURCE, "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"]  # the service's resource and its application id
TIMEOUT = urllib3.Timeout(connect=3, read=5)


@dataclass(frozen=True)
class Principal:
    """Who calls."""

    object_id: str
    client_id: str
    issuer: str


class Authority:
    """An Entra authority, `https://host/tenant`. Keys are remembered; an unknown kid makes one fetch."""

    def __init__(self, url: str, ca_path: Path) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(ca_certs=str(ca_path), timeout=TIMEOUT, retries=False)
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._issuer = ""

    def principal(self, authorization: str | None) -> Principal:
        """Who a header's token names. Raises VaultError 401 with the challenge."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise self._unauthorized("AKV10000: Request is missing a Bearer or PoP token.")
        try:
            key, issuer = self._key(str(jwt.get_unverified_header(token).get("kid")))
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=AUDIENCES,
                issuer=issuer,
                options={"require": ["exp", "aud", "iss"]},
            )
        except jwt.InvalidAudienceError:
            raise self._unauthorized(f"AKV10022: Invalid audience. Expected {RESOURCE}.") from None
        except jwt.InvalidIssuerError:
            raise self._unauthorized(f"AKV10032: Invalid issuer. Expected one of {self._issuer}.") from None
        except jwt.ExpiredSignatureError:
            raise self._unauthorized("[TokenExpired] Error validating token: 'S2S12086'.") from None
        except (jwt.PyJWTError, LookupError) as error:
            raise self._unauthorized(f"Error validating token: {error}") from None
        object_id = claims.get("oid")
        if not isinstance(object_id, str):
            raise self._unauthorized("Error validating token: it names no object id.")
        return Principal(object_id, str(claims.get("appid", claims.get("azp", ""))), claims["iss"])

    def _unauthorized(self, message: str) -> VaultError:
        challenge = f'Bearer authorization="{self.url}", resource="{RESOURCE}"'
        return VaultError(401, "Unauthorized", message, headers={"WWW-Authenticate": challenge})

    def _key(self, kid: str) -> tuple[Any, str]:
        with self._lock:
            if kid not in self._keys:
                document = self._fetch(f"{self.url}/.well-known/openid-configuration")
                self._issuer = document["issuer"]
                found = jwt.PyJWKSet.from_dict(self._fetch(document["jwks_uri"]))
                self._keys = {key.key_id or "": key.key for key in found.keys}
            return self._keys[kid], self._issuer

    def _fetch(self, url: str) -> dict[str, Any]:
        try:
            reply = self._pool.request("GET", url)
            found: dict[str, Any] = reply.json()
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise VaultError(503, "ServiceUnavailable", f"Entra ID did not answer: {error}") from error
        if reply.status != 200:
            raise VaultError(503, "ServiceUnavailable", f"Entra ID answered {reply.status}.")
        return found
