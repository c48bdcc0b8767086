"""Opaque state tokens: `$skiptoken` and `$deltatoken` are sealed JSON, so that nobody can read or make one."""

import hashlib
import hmac
import json
import secrets
import zlib
from typing import Any

from local.entra.signing_keys import base64url
from local.entra.tokens import from_base64url

TAG = 16


class TokenForged(ValueError):
    """Not a token that this process made."""


class Sealer:
    """Encrypts by a key stream and authenticates by HMAC-SHA-256; secret enough for a laptop, and always fresh."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def seal(self, state: dict[str, Any]) -> str:
        nonce = secrets.token_bytes(12)
        plain = zlib.compress(json.dumps(state, separators=(",", ":")).encode())
        sealed = nonce + self._crypt(nonce, plain)
        return base64url(sealed + self._tag(sealed))

    def open(self, token: str) -> dict[str, Any]:
        """Raises TokenForged."""
        try:
            raw = from_base64url(token)
        except ValueError:
            raise TokenForged from None
        sealed, tag = raw[:-TAG], raw[-TAG:]
        if not hmac.compare_digest(tag, self._tag(sealed)):
            raise TokenForged
        state: dict[str, Any] = json.loads(zlib.decompress(self._crypt(sealed[:12], sealed[12:])))
        return state

    def _tag(self, sealed: bytes) -> bytes:
        return hmac.digest(self._key, sealed, "sha256")[:TAG]

    def _crypt(self, nonce: bytes, data: bytes) -> bytes:
        stream = hashlib.shake_256(self._key + nonce).digest(len(data))
        return bytes(a ^ b for a, b in zip(data, stream, strict=True))
