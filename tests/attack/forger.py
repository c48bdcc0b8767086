"""What a forger of tokens has: a tenant to attack, the true key for control, keys of his own, and pliers."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ROLE = "manage-entra-integration"
OTHER_TENANT = "0b0b0b0b-0000-4000-8000-00000000000b"
CLIENT = "c11e0000-0000-4000-8000-000000000001"
USER = "0a0a0a0a-1111-4111-8111-0123456789ab"
EVIL = "https://evil.example"

SHA256_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017 9.2, note 1


class Absent:
    """As a claim's or header member's value: leave it out."""


ABSENT = Absent()


@cache
def rsa_key(name: str, bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """A key of the test run's own; the same for the same name."""
    return rsa.generate_private_key(exponent, bits)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def jwk(kid: str, key: rsa.RSAPrivateKey, **members: Any) -> dict[str, Any]:
    """The published form of a key, with `members` replaced, added or (ABSENT) left out."""
    numbers = key.public_key().public_numbers()
    published = {"kty": "RSA", "use": "sig", "kid": kid, "n": number(numbers.n), "e": number(numbers.e)} | members
    return {name: value for name, value in published.items() if value is not ABSENT}


def as_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def rs256(key: rsa.RSAPrivateKey) -> Callable[[bytes], bytes]:
    return lambda message: key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda message: hmac.digest(secret, message, "sha256")


def raw_rsa(key: rsa.RSAPrivateKey, block: bytes) -> bytes:
    """The RSA private operation on any block: what lets a test sign wrongly padded messages with the true key."""
    private = key.private_numbers()
    modulus = private.public_numbers.n
    return pow(int.from_bytes(block, "big"), private.d, modulus).to_bytes(256, "big")


def padded(content: bytes, *, head: bytes = b"\x00\x01", fill: bytes = b"\xff", end: bytes = b"\x00") -> bytes:
    """An EMSA-PKCS1-v1_5 block of 256 bytes around `content` (RFC 8017 9.2)."""
    return head + fill * (256 - len(head) - len(end) - len(content)) + end + content


def public_pem(key: rsa.RSAPrivateKey, format_: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, format_)


def public_der(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class World:
    """The tenant under attack, as whoever validates its tokens sees it.

    Attributes:
        key, kid: the tenant's true signing key; odd keys are published beside it (`odd_keys`).
        audience: the app's client id, accepted everywhere; `uri` is its other form, for v1 tokens.
        other_audience: accepted by validate-token only.
    """

    tenant_id: str
    v1_issuer: str
    v2_issuer: str
    audience: str
    other_audience: str
    kid: str
    key: rsa.RSAPrivateKey = field(repr=False)
    clock: Callable[[], float] = time.time

    @property
    def uri(self) -> str:
        return f"api://{self.audience}"

    @property
    def now(self) -> int:
        return int(self.clock())

    def claims(self, version: int = 2, kind: str = "user", **changes: Any) -> dict[str, Any]:
        """A typical token's claims, with `changes` replaced, added or (ABSENT) left out."""
        client = {"azp": CLIENT, "azpacr": "1"} if version == 2 else {"appid": CLIENT, "appidacr": "1"}
        names = {"preferred_username": "ada@contoso.example"} if version == 2 else {"upn": "ada@contoso.example"}
        claims: dict[str, Any] = {
            "aud": self.audience,
            "iss": self.v2_issuer if version == 2 else self.v1_issuer,
            "iat": self.now,
            "nbf": self.now,
            "exp": self.now + 3900,
            "oid": USER,
            "sub": "q1w2e3r4t5y6u7i8o9p0",
            "tid": self.tenant_id,
            "ver": f"{version}.0",
            "roles": [ROLE],
        }
        if kind != "id":
            claims |= client
        if kind == "app":
            claims |= {"sub": USER, "idtyp": "app"}
        else:
            claims |= names | {"name": "Ada Lovelace", "groups": ["6c1f9bbd-0f0e-4b0e-9b0e-000000000001"]}
        if kind == "user":
            claims["scp"] = "access_as_user"
        return {name: value for name, value in (claims | changes).items() if value is not ABSENT}

    def header(self, **changes: Any) -> dict[str, Any]:
        members: dict[str, Any] = {"typ": "JWT", "alg": "RS256", "x5t": self.kid, "kid": self.kid} | changes
        return {name: value for name, value in members.items() if value is not ABSENT}

    def token(self, **changes: Any) -> str:
        """A genuine token with some claims changed."""
        return self.signed(self.header(), self.claims(**changes))

    def signed(
        self,
        header: Mapping[str, Any] | bytes,
        payload: Mapping[str, Any] | bytes,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> str:
        """A compact JWS over exactly this header and payload; signed by the true key with RS256 unless told else."""
        segments = [b64(part if isinstance(part, bytes) else as_json(part)) for part in (header, payload)]
        message = ".".join(segments)
        return f"{message}.{b64((sign or rs256(self.key))(message.encode()))}"

    def resigned(self, message: str) -> str:
        """Segments of any shape, joined with a true signature over them."""
        return f"{message}.{b64(rs256(self.key)(message.encode()))}"

    def with_block(self, build: Callable[[bytes], bytes]) -> str:
        """A genuine message whose signature is the true key's over `build(SHA-256 of the message)`, wrongly padded."""
        message = f"{b64(as_json(self.header()))}.{b64(as_json(self.claims()))}"
        return f"{message}.{b64(raw_rsa(self.key, build(hashlib.sha256(message.encode()).digest())))}"

    def with_signature(self, change: Callable[[bytes], bytes]) -> str:
        """A genuine token whose signature bytes are changed."""
        message, _, signature = self.token().rpartition(".")
        return f"{message}.{b64(change(base64.urlsafe_b64decode(signature + '==')))}"


def odd_keys(world: World) -> list[dict[str, Any]]:
    """What is published beside the true key, and must be ignored but for the keys `placeholder` and `twice`."""
    attacker, dup = rsa_key("attacker"), rsa_key("duplicate")
    modulus = attacker.public_key().public_numbers().n
    return [
        jwk("for-encryption", attacker, use="enc"),
        jwk("encrypts", attacker, use=ABSENT, key_ops=["encrypt"]),
        jwk("for-ps256", attacker, alg="PS256"),
        jwk("other-tenant", attacker, issuer=f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"),
        jwk("other-issuer", attacker, issuer=EVIL),
        jwk("issuer-is-a-list", attacker, issuer=[world.v2_issuer]),
        jwk("placeholder", rsa_key("placeholder"), issuer=world.v2_issuer.replace(world.tenant_id, "{tenantid}")),
        jwk("duplicate", attacker),
        jwk("duplicate", dup),
        jwk("twice", dup),
        jwk("twice", dup),
        {"kty": "oct", "kid": "symmetric", "use": "sig", "k": b64(b"secret" * 8), "alg": "HS256"},
        jwk("exponent-1", attacker, e=number(1)),
        jwk("exponent-3", rsa_key("exponent-3", 2048, 3)),
        jwk("exponent-even", attacker, e=number(65536)),
        jwk("exponent-huge", attacker, e=number(modulus - 2)),
        jwk("short", rsa_key("short", 1024)),
        jwk("long", attacker, n=number((1 << 16384) - 1)),
        jwk("even", attacker, n=number(modulus - 1)),
        jwk("private", attacker, d=number(attacker.private_numbers().d)),
        jwk("not-base64", attacker, n="====" + number(modulus)),
        jwk("no-modulus", attacker, n=ABSENT),
        {name: value for name, value in jwk("", attacker).items() if name != "kid"},
        {"kty": "EC", "kid": "elliptic", "crv": "P-256", "x": b64(b"x" * 32), "y": b64(b"y" * 32)},
    ]
