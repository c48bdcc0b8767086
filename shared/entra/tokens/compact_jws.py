"""The front end of token validation: takes a compact JWS apart, cheap checks first, and trusts nothing in it.

Written by hand because a JWT library's own parser is where most of the known attacks live (alg confusion, embedded
keys, lenient base64 and JSON), and because it costs several times the RSA verification. Only one algorithm is known
here, and no header member ever chooses a key but `kid`, which is looked up among the issuer's published keys.
"""

import hashlib
import re
from functools import lru_cache
from typing import Any, NamedTuple

from shared.entra.tokens import base64url, strict_json
from shared.entra.tokens.errors import TokenError, TokenRejected

MAX_TOKEN_LENGTH = 16 * 1024
"""Entra's largest tokens (200 groups) are about 10 kB."""
MAX_HEADER_LENGTH = 4 * 1024
ALGORITHM = "RS256"  # the only one that Entra signs with (openid-configuration, id_token_signing_alg_values_supported)

_KID = re.compile(r"[A-Za-z0-9_\-]{1,128}")
_API_TOKEN = re.compile(r"[0-9]+\|")
_TYPES = frozenset({"jwt", "at+jwt"})  # RFC 7519 5.1, RFC 9068 2.1
_FOREIGN_MEMBERS = frozenset(
    {"crit", "b64", "zip", "enc", "cty", "epk", "apu", "apv", "p2s", "p2c", "jwk", "jku", "x5u", "x5c"}
)
"""Extensions that change what is signed, encryption, and keys that the sender would choose (RFC 7515 4.1, 7516, 7797).
Entra sends none of them. `x5t` is sent, and ignored."""


class CompactJws(NamedTuple):
    """A token taken apart; nothing in it is verified yet."""

    kid: str
    claims: dict[str, Any]
    signature: bytes


def encoded(token: str) -> bytes:
    """The token's bytes; raises TokenRejected where it is too long to be looked at or not ASCII."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise TokenRejected(TokenError.TOKEN_TOO_LARGE)
    try:
        return token.encode("ascii")
    except UnicodeEncodeError:
        raise TokenRejected(TokenError.MALFORMED_TOKEN) from None


def digests(token: bytes) -> tuple[bytes, bytes]:
    """SHA-256 of the signing input, which is what RS256 signs (RFC 7518 3.3), and of the whole token, in one pass.

    The signing input is all before the last dot (RFC 7515 3.1).
    """
    end = max(token.rfind(b"."), 0)
    running = hashlib.sha256(token[:end])
    signing_input = running.digest()
    running.update(token[end:])
    return signing_input, running.digest()


def parse(token: str) -> CompactJws:
    """Takes apart what `encoded` let through; raises TokenRejected."""
    header_segment, payload_segment, signature_segment = _segments(token)
    try:
        kid = _key_id(header_segment)
        claims = strict_json.parse_object(base64url.decode(payload_segment))
        signature = base64url.decode(signature_segment)
    except ValueError:
        raise TokenRejected(TokenError.MALFORMED_TOKEN) from None
    return CompactJws(kid, claims, signature)


def _segments(token: str) -> tuple[str, str, str]:
    first, last = token.find("."), token.rfind(".")
    are_two = 0 < first < last == token.find(".", first + 1)
    if not are_two or last == first + 1 or last == len(token) - 1 or first > MAX_HEADER_LENGTH:
        raise TokenRejected(_shape_error(token))
    return token[:first], token[first + 1 : last], token[last + 1 :]


def _shape_error(token: str) -> TokenError:
    if _API_TOKEN.match(token):
        return TokenError.NOT_AN_ENTRA_TOKEN
    return TokenError.ENCRYPTED_TOKEN if token.count(".") == 4 else TokenError.MALFORMED_TOKEN  # RFC 7516 3.1


@lru_cache(maxsize=64)
def _key_id(segment: str) -> str:
    """The `kid` of a header in which all is well; remembered, because all tokens by one key share their header."""
    header = strict_json.parse_object(base64url.decode(segment))
    if header.get("alg") != ALGORITHM:
        raise TokenRejected(TokenError.UNSUPPORTED_ALGORITHM)
    if not _FOREIGN_MEMBERS.isdisjoint(header):
        raise TokenRejected(TokenError.UNSUPPORTED_HEADER)
    if "nonce" in header:  # Graph's tokens are signed over its hash: no other service can check them
        raise TokenRejected(TokenError.GRAPH_TOKEN)
    token_type = header.get("typ", "JWT")
    if type(token_type) is not str or token_type.lower() not in _TYPES:
        raise TokenRejected(TokenError.UNSUPPORTED_HEADER)
    kid = header.get("kid")
    if type(kid) is not str or not _KID.fullmatch(kid):
        raise TokenRejected(TokenError.MALFORMED_KEY_ID)
    return kid
