"""From a key store's form of a signature to cryptography's, refusing what cannot be one."""

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from shared.pki.keys import PublicKey


class MalformedSignature(ValueError):
    """What the key store returned is no signature of that key, whatever was signed."""


def from_raw(public_key: PublicKey, raw: object) -> bytes:
    """RSA as it is (one octet per octet of the modulus, RFC 8017 8.2.1), ECDSA from R‖S (RFC 7518 3.4) to DER.

    Raises MalformedSignature for anything of another length or with numbers out of range. It does not verify.
    """
    if not isinstance(raw, bytes):
        raise MalformedSignature(f"a signature of type {type(raw).__name__}")
    size = (public_key.key_size + 7) // 8
    if isinstance(public_key, rsa.RSAPublicKey):
        _require(len(raw) == size, f"{len(raw)} octets instead of {size}")
        _require(int.from_bytes(raw) < public_key.public_numbers().n, "a number above the modulus")
        return raw
    _require(len(raw) == 2 * size, f"{len(raw)} octets instead of {2 * size}")
    r, s = int.from_bytes(raw[:size]), int.from_bytes(raw[size:])
    order = public_key.curve.group_order
    _require(0 < r < order and 0 < s < order, "a number outside the group of the curve")
    return encode_dss_signature(r, s)


def _require(kept: bool, otherwise: str) -> None:
    if not kept:
        raise MalformedSignature(f"a signature with {otherwise}")
