"""Private keys on their only way out: PKCS#8 PEM, or PKCS#12 with the certificates."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from shared.errors import FieldError
from shared.pki.issuance.order import KeyFormat, Order, Pkcs12Encryption
from shared.pki.keys import PrivateKey

MIN_PASSWORD_LENGTH = 16
"""Characters: a PKCS#12's MAC is 2,048 iterations whatever is asked of the library, so the password must carry it."""
MADE_PASSWORD_LENGTH = 24
_ALPHABET = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without 0O1lI, which people confuse
_MODERN_ITERATIONS = 50_000
_LEGACY_ITERATIONS = 2_048  # old Windows and macOS are the readers: what they expect, and what the MAC has anyway
_MAX_FRIENDLY_NAME = 64


@dataclass(frozen=True)
class PackedKey:
    """Exactly one of `pem` and `pkcs12`; `made_password` if the password was made here."""

    pem: str | None = field(default=None, repr=False)
    pkcs12: bytes | None = field(default=None, repr=False)
    made_password: str | None = field(default=None, repr=False)


def check_password(order: Order) -> None:
    """Raises FieldError for a password too weak for the way the key is packed, or one that is not text for it."""
    password = order.pkcs12_password
    if password is None:
        return
    if len(password) < MIN_PASSWORD_LENGTH:
        raise FieldError(
            "pkcs12_password", f"The pkcs12 password field must be at least {MIN_PASSWORD_LENGTH} characters."
        )
    if not password.isascii() or not password.isprintable():
        raise FieldError(
            "pkcs12_password",
            "The pkcs12 password field must be printable ASCII: PKCS#12 readers disagree about all other characters.",
        )


def pack(
    key: PrivateKey, order: Order, certificate: x509.Certificate, chain: Sequence[x509.Certificate], name: str
) -> PackedKey:
    """Packs the key as the order wants it. `name`: the friendly name in a PKCS#12."""
    if order.format is KeyFormat.PEM:
        return PackedKey(pem=_pem(key, order.pkcs12_password))
    made = None if order.pkcs12_password else make_password()
    password = (order.pkcs12_password or made or "").encode()
    packed = pkcs12.serialize_key_and_certificates(
        name[:_MAX_FRIENDLY_NAME].encode(),
        key,
        certificate,
        chain,
        _pkcs12_encryption(order.pkcs12_encryption, password),
    )
    return PackedKey(pkcs12=packed, made_password=made)


def make_password() -> str:
    """24 characters of an alphabet of 57: 139 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(MADE_PASSWORD_LENGTH))


def _pem(key: PrivateKey, password: str | None) -> str:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def _pkcs12_encryption(kind: Pkcs12Encryption, password: bytes) -> serialization.KeySerializationEncryption:
    builder = serialization.PrivateFormat.PKCS12.encryption_builder()
    if kind is Pkcs12Encryption.LEGACY:
        return (
            builder.kdf_rounds(_LEGACY_ITERATIONS)
            .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .hmac_hash(hashes.SHA1())  # noqa: S303  (what old readers know)
            .build(password)
        )
    return (
        builder.kdf_rounds(_MODERN_ITERATIONS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password)
    )
