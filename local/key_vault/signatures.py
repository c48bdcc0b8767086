"""Signs and verifies digests as Key Vault does, and keeps the list of every signature that was ever made.

Source: https://learn.microsoft.com/azure/key-vault/keys/about-keys-details, Sign/Verify; RFC 7518, 3.3 to 3.5.
"""

import threading
from dataclasses import asdict, dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature

from local.key_vault.errors import bad_parameter
from local.key_vault.key_store import KeyVersion

HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVE_SIZES = {"ES256": 256, "ES384": 384, "ES512": 521}
ALGORITHMS = frozenset({*(family + bits for family in ("RS", "PS") for bits in HASHES), *CURVE_SIZES})


@dataclass(frozen=True)
class MadeSignature:
    """A signature that the vault made, whether or not its reply arrived. Digest and value are hexadecimal."""

    number: int
    name: str
    version: str
    algorithm: str
    digest: str
    value: str
    faulty: bool


class SignatureLog:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: list[MadeSignature] = []

    def add(self, key: KeyVersion, algorithm: str, digest: bytes, value: bytes, *, faulty: bool) -> None:
        with self._lock:
            number = len(self._made) + 1
            made = MadeSignature(number, key.name, key.version, algorithm, digest.hex(), value.hex(), faulty)
            self._made.append(made)

    def to_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(made) for made in self._made]


def check(key: KeyVersion, algorithm: str, digest: bytes) -> None:
    """Raises VaultError 400 when algorithm, key and digest do not go together."""
    if algorithm not in ALGORITHMS:
        raise bad_parameter(f"Property alg has invalid value: {algorithm}")
    is_rsa = isinstance(key.private, rsa.RSAPrivateKey)
    if is_rsa != (algorithm not in CURVE_SIZES):
        needed = "RSA' or 'RSA-HSM" if not is_rsa else "EC' or 'EC-HSM"
        raise bad_parameter(
            f"Key and signing algorithm are incompatible. Key is of type '{key.key_type}', and algorithm "
            f"'{algorithm}' can only be used with a key of type '{needed}'."
        )
    if not is_rsa and CURVE_SIZES[algorithm] != key.private.key_size:
        raise bad_parameter(f"Key and signing algorithm are incompatible. '{algorithm}' needs another curve.")
    wanted = HASHES[algorithm[2:]].digest_size
    if len(digest) != wanted:
        raise bad_parameter(
            f"Invalid length of 'value': {len(digest)} bytes. {algorithm} requires {wanted} bytes, "
            "encoded with base64url."
        )


def sign(key: KeyVersion, algorithm: str, digest: bytes) -> bytes:
    """PKCS #1 v1.5, PSS with a salt as long as the digest, or r and s side by side."""
    algorithm_hash = HASHES[algorithm[2:]]
    if isinstance(key.private, rsa.RSAPrivateKey):
        return key.private.sign(digest, _padding(algorithm), Prehashed(algorithm_hash))
    r, s = decode_dss_signature(key.private.sign(digest, ec.ECDSA(Prehashed(algorithm_hash))))
    size = (key.private.key_size + 7) // 8
    return r.to_bytes(size) + s.to_bytes(size)


def verify(key: KeyVersion, algorithm: str, digest: bytes, value: bytes) -> bool:
    algorithm_hash = HASHES[algorithm[2:]]
    try:
        if isinstance(key.private, rsa.RSAPrivateKey):
            key.private.public_key().verify(value, digest, _padding(algorithm), Prehashed(algorithm_hash))
        else:
            half = len(value) // 2
            pair = encode_dss_signature(int.from_bytes(value[:half]), int.from_bytes(value[half:]))
            key.private.public_key().verify(pair, digest, ec.ECDSA(Prehashed(algorithm_hash)))
    except InvalidSignature:
        return False
    return True


def _padding(algorithm: str) -> padding.AsymmetricPadding:
    if algorithm.startswith("RS"):
        return padding.PKCS1v15()
    algorithm_hash = HASHES[algorithm[2:]]
    return padding.PSS(padding.MGF1(algorithm_hash), algorithm_hash.digest_size)
