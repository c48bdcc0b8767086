"""The part of a certificate that is signed, had before anything is signed.

Names, keys and extensions are encoded by cryptography; here they are put together (RFC 5280 4.1). What is reserved,
signed and verified later are exactly these bytes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from itertools import islice

from cryptography import x509

from shared.pki import der
from shared.pki.keys import KeyType, PublicKey, spki_der

_VERSION_3 = der.explicit(0, der.integer(2))
_TRUE = der.tlv(0x01, b"\xff")
_PLACEHOLDER = bytes(8)

# AlgorithmIdentifiers. RFC 4055 5: RSA with NULL parameters; RFC 5758 3.2: ECDSA without parameters.
_SHA256_WITH_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")
_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_ECDSA_WITH_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")
_ECDSA_WITH_SHA512 = bytes.fromhex("300a06082a8648ce3d040304")
_ALGORITHMS = {
    KeyType.P_256: _ECDSA_WITH_SHA256,
    KeyType.P_384: _ECDSA_WITH_SHA384,
    KeyType.P_521: _ECDSA_WITH_SHA512,
}


@dataclass(frozen=True, slots=True)
class Validity:
    """Both ends included (RFC 5280 4.1.2.5), whole seconds, UTC."""

    not_before: datetime
    not_after: datetime


@dataclass(frozen=True)
class Draft:
    """The exact bytes to sign. `issuer_key`: whose signature they are for."""

    tbs: bytes
    issuer_key: PublicKey

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.tbs).hexdigest()

    @cached_property
    def certificate(self) -> x509.Certificate:
        """The bytes as others will read them, under a signature that is none. Raises ValueError if they cannot."""
        return x509.load_der_x509_certificate(assemble(self.tbs, self.issuer_key, _PLACEHOLDER))


def draft(
    *,
    serial_number: int,
    issuer: bytes,
    validity: Validity,
    subject: x509.Name,
    public_key: PublicKey,
    extensions: Iterable[bytes],
    issuer_key: PublicKey,
) -> Draft:
    """A TBSCertificate of version 3. `issuer`: the name as its own certificate encodes it; `extensions`: DER."""
    tbs = der.sequence(
        _VERSION_3,
        der.integer(serial_number),
        signature_algorithm(issuer_key),
        issuer,
        der.sequence(der.time(validity.not_before), der.time(validity.not_after)),
        subject.public_bytes(),
        spki_der(public_key),
        der.explicit(3, der.sequence(*extensions)),
    )
    return Draft(tbs, issuer_key)


def encoded_extension(value: x509.ExtensionType, *, critical: bool = False) -> bytes:
    """An Extension (RFC 5280 4.1), DER: FALSE, the default, is not written."""
    return der.sequence(
        _object_identifier(value.oid), _TRUE if critical else b"", der.octet_string(value.public_bytes())
    )


@cache
def _object_identifier(oid: x509.ObjectIdentifier) -> bytes:
    return der.object_identifier(oid.dotted_string)


def raw_issuer(tbs: bytes) -> bytes:
    """The issuer's name as encoded in a version 3 TBSCertificate, not as it would be encoded again."""
    return next(islice(der.elements(tbs), 3, None))


def raw_subject(tbs: bytes) -> bytes:
    """The subject's name as encoded in a version 3 TBSCertificate."""
    return next(islice(der.elements(tbs), 5, None))


def signature_algorithm(key: PublicKey) -> bytes:
    """The AlgorithmIdentifier of what `shared.pki.keys.sign` makes with the key."""
    return _ALGORITHMS.get(KeyType.of(key) or KeyType.RSA_2048, _SHA256_WITH_RSA)


def assemble(tbs: bytes, issuer_key: PublicKey, signature: bytes) -> bytes:
    """The DER certificate (RFC 5280 4.1) or CRL (5.1): the signed bytes, the algorithm, the signature."""
    return der.sequence(tbs, signature_algorithm(issuer_key), der.bit_string(signature))
