"""The keys that sign a tenant's tokens, and the JWKS documents that publish them.

A fresh tenant uses the emulator's common key, as Entra's tenants share theirs, until it rotates.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class SigningKey:
    """An RSA-2048 key with the certificate that Entra publishes beside it."""

    kid: str
    private: rsa.RSAPrivateKey
    certificate: bytes  # DER

    @classmethod
    def generate(cls) -> "SigningKey":
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = _self_signed(private)
        thumbprint = base64url(hashlib.sha1(certificate).digest())  # Entra's kid is the certificate's x5t
        return cls(thumbprint, private, certificate)

    def jwk(self, issuer: str | None) -> dict[str, Any]:
        """The published form; only v2 key sets name the issuer of each key."""
        numbers = self.private.public_key().public_numbers()
        published = {
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "x5t": self.kid,
            "n": base64url(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
            "e": base64url(numbers.e.to_bytes(3)),
            "x5c": [base64.b64encode(self.certificate).decode("ascii")],
            "cloud_instance_name": "127.0.0.1",
        }
        return published | ({"issuer": issuer} if issuer else {})


@dataclass
class KeyRing:
    """The newest key signs. A retired key is still published; a dropped one is not."""

    keys: list[SigningKey]
    key_issuers: dict[str, str] = field(default_factory=dict)
    odd_keys: list[dict[str, Any]] = field(default_factory=list)
    published: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.published = self.published or {key.kid for key in self.keys}

    @property
    def current(self) -> SigningKey:
        return self.keys[-1]

    def add(self, *, publish: bool = True) -> str:
        """Makes a new signing key and returns its kid; unpublished, it signs tokens that nobody can verify yet."""
        key = SigningKey.generate()
        self.keys.append(key)
        if publish:
            self.published.add(key.kid)
        return key.kid

    def publish(self, kid: str) -> None:
        self.published.add(self.key(kid).kid)

    def drop(self, kids: Iterable[str]) -> None:
        self.published.difference_update(kids)

    def key(self, kid: str) -> SigningKey:
        for key in self.keys:
            if key.kid == kid:
                return key
        raise KeyError(kid)

    def jwks(self, issuer: str | None) -> dict[str, Any]:
        """The key set; `issuer` is None for v1."""
        published = [
            key.jwk(self.key_issuers.get(key.kid, issuer) if issuer else None)
            for key in self.keys
            if key.kid in self.published
        ]
        return {"keys": published + self.odd_keys}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _self_signed(private: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "accounts.accesscontrol.windows.net")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(private, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)
