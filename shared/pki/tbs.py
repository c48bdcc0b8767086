"""The part of a certificate that is signed, had before anything is signed.

A builder is run against a key that keeps the bytes instead of signing them. What is reserved, signed and verified
later are exactly these bytes.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import utils

from shared.pki import der
from shared.pki.keys import KeyType, PublicKey, signature_hash
from shared.pki.signing.remote_key import remote_private_key

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


@dataclass(frozen=True)
class Draft:
    """A certificate before its signature: the exact bytes to sign, and the same under a placeholder for linting."""

    tbs: bytes
    certificate: x509.Certificate

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.tbs).hexdigest()


def draft(builder: x509.CertificateBuilder, issuer_key: PublicKey) -> Draft:
    """What the builder would have the issuer's key sign."""

    recorded = b""

    def placeholder(data: bytes, _algorithm: hashes.HashAlgorithm) -> bytes:
        nonlocal recorded
        recorded = data
        key_type = KeyType.of(issuer_key)
        if key_type is not None and not key_type.is_rsa:
            return utils.encode_dss_signature(1, 1)
        return bytes(issuer_key.key_size // 8)

    certificate = builder.sign(remote_private_key(issuer_key, placeholder), signature_hash(issuer_key))
    return Draft(recorded, certificate)


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
