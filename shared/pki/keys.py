"""Key types, and what follows from one: the signature algorithm, the key identifier, how to make a fresh key."""

import hashlib
from enum import Enum, StrEnum, auto
from functools import cache

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
SignatureHash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

RSA_PUBLIC_EXPONENT = 65537


class KeyType(StrEnum):
    """The kinds of key that the CA works with, for itself and for its users."""

    RSA_2048 = "RSA-2048"
    RSA_3072 = "RSA-3072"
    RSA_4096 = "RSA-4096"
    P_256 = "P-256"
    P_384 = "P-384"
    P_521 = "P-521"

    @property
    def bits(self) -> int:
        return int(self.value.rpartition("-")[2])

    @property
    def is_rsa(self) -> bool:
        return self.value.startswith("RSA")

    @classmethod
    def of(cls, key: object) -> "KeyType | None":
        """The type of a private or public key; None for one that the CA does not work with."""
        family = _family(type(key))  # type: ignore[arg-type]  # every class is hashable
        if family is _Family.RSA:
            return _RSA_TYPES.get(key.key_size)  # type: ignore[attr-defined]  # an RSA key
        if family is _Family.EC:
            return _CURVE_TYPES.get(key.curve.name)  # type: ignore[attr-defined]  # an EC key
        return None


class _Family(Enum):
    RSA = auto()
    EC = auto()


@cache
def _family(kind: type) -> _Family | None:
    """Asked several times for each signature; an isinstance of cryptography's abstract classes takes a microsecond."""
    if issubclass(kind, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return _Family.RSA
    if issubclass(kind, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return _Family.EC
    return None


_RSA_TYPES = {2048: KeyType.RSA_2048, 3072: KeyType.RSA_3072, 4096: KeyType.RSA_4096}
_CURVES: dict[KeyType, ec.EllipticCurve] = {
    KeyType.P_256: ec.SECP256R1(),
    KeyType.P_384: ec.SECP384R1(),
    KeyType.P_521: ec.SECP521R1(),
}
_CURVE_TYPES = {curve.name: key_type for key_type, curve in _CURVES.items()}


def generate_key(key_type: KeyType) -> PrivateKey:
    """A fresh key from the operating system's randomness. RSA generation releases the interpreter lock."""
    if key_type.is_rsa:
        return rsa.generate_private_key(RSA_PUBLIC_EXPONENT, key_type.bits)
    return ec.generate_private_key(_CURVES[key_type])


def signature_hash(key: PrivateKey | PublicKey) -> SignatureHash:
    """The one hash that this CA signs with under a key: SHA-256 for RSA, bound to the curve for EC (RFC 5656 6.2.1,
    RFC 7518 3.4)."""
    match KeyType.of(key):
        case KeyType.P_384:
            return hashes.SHA384()
        case KeyType.P_521:
            return hashes.SHA512()
        case _:
            return hashes.SHA256()


def sign(key: PrivateKey, data: bytes) -> bytes:
    """PKCS#1 v1.5 or ECDSA (DER), with the key's hash."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), signature_hash(key))
    return key.sign(data, ec.ECDSA(signature_hash(key)))


def verify(key: PublicKey, signature: bytes, data: bytes) -> None:
    """Raises cryptography's InvalidSignature unless `signature` is the key's over `data`, by the rule of `sign`."""
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, data, padding.PKCS1v15(), signature_hash(key))
    else:
        key.verify(signature, data, ec.ECDSA(signature_hash(key)))


def spki_der(key: PublicKey) -> bytes:
    """The key's SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def spki_sha256(key: PublicKey) -> str:
    """Names a key, whatever certificate it is in: SHA-256 of its SubjectPublicKeyInfo, lower-case hex."""
    return hashlib.sha256(spki_der(key)).hexdigest()
