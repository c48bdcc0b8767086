"""cryptography's private-key classes over a `sign` function: for keys whose private half is somewhere else.

cryptography's builders take any subclass of its key classes, read the public key and call `sign` once
(https://cryptography.io/en/latest/hazmat/primitives/asymmetric/cloudhsm/).
"""

from collections.abc import Callable
from typing import Any, NoReturn, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric import utils as asymmetric_utils

from shared.pki.keys import PrivateKey, PublicKey, signature_hash

Sign = Callable[[bytes, hashes.HashAlgorithm], bytes]
"""(data, hash) → signature over hash(data): PKCS#1 v1.5 for RSA, DER-encoded ECDSA for EC."""


def remote_private_key(public_key: PublicKey, sign: Sign) -> PrivateKey:
    """A private-key object that has `public_key` and signs through `sign`; all else it refuses."""
    if isinstance(public_key, rsa.RSAPublicKey):
        return RemoteRsaPrivateKey(public_key, sign)
    return RemoteEcPrivateKey(public_key, sign)


class RemoteRsaPrivateKey(rsa.RSAPrivateKey):
    """Signs PKCS#1 v1.5 with SHA-256, elsewhere."""

    def __init__(self, public_key: rsa.RSAPublicKey, sign: Sign) -> None:
        self._public_key = public_key
        self._sign = sign

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public_key

    def sign(
        self,
        data: Any,
        padding: padding.AsymmetricPadding,
        algorithm: asymmetric_utils.Prehashed | hashes.HashAlgorithm | asymmetric_utils.NoDigestInfo,
    ) -> bytes:
        if not isinstance(padding, _PKCS1_V15):
            raise UnsupportedAlgorithm("this key signs PKCS#1 v1.5 only")
        return self._sign(bytes(data), _bound_hash(self._public_key, algorithm))

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> NoReturn:  # noqa: ARG002
        _refuse("decrypt")

    def private_numbers(self) -> NoReturn:
        _refuse("give its private numbers")

    def private_bytes(self, *arguments: object, **named: object) -> NoReturn:  # noqa: ARG002
        _refuse("give its private bytes")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class RemoteEcPrivateKey(ec.EllipticCurvePrivateKey):
    """Signs ECDSA with the curve's hash, elsewhere."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey, sign: Sign) -> None:
        self._public_key = public_key
        self._sign = sign

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public_key

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        if not isinstance(signature_algorithm, ec.ECDSA):
            raise UnsupportedAlgorithm("this key signs ECDSA only")
        return self._sign(bytes(data), _bound_hash(self._public_key, signature_algorithm.algorithm))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:  # noqa: ARG002
        _refuse("agree on secrets")

    def private_numbers(self) -> NoReturn:
        _refuse("give its private numbers")

    def private_bytes(self, *arguments: object, **named: object) -> NoReturn:  # noqa: ARG002
        _refuse("give its private bytes")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


_PKCS1_V15 = padding.PKCS1v15


def _bound_hash(public_key: PublicKey, algorithm: object) -> hashes.HashAlgorithm:
    bound = signature_hash(public_key)
    if not isinstance(algorithm, type(bound)):
        raise UnsupportedAlgorithm(f"this key signs with {bound.name} only, not with {algorithm!r}")
    return bound


def _refuse(what: str) -> NoReturn:
    raise UnsupportedAlgorithm(f"this key cannot {what}: it only signs, and its private half is elsewhere")
