"""A CRL as a whole (RFC 5280 5): its fields, its extensions, its signature."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from shared.pki import der
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.errors import SignatureRefused
from shared.pki.keys import PrivateKey, sign, verify
from shared.pki.tbs import assemble, signature_algorithm

LIFE = timedelta(hours=24)
"""thisUpdate to nextUpdate: how long clients may go on with a CRL when they cannot fetch a newer one."""
PUBLISHED_EVERY = timedelta(hours=1)
CODE_SIGNING_RETENTION = timedelta(days=3653)
"""Signatures on code are checked long after the certificate has expired: ten years."""

_AUTHORITY_KEY_IDENTIFIER = bytes.fromhex("0603551d23")  # 2.5.29.35
_CRL_NUMBER = bytes.fromhex("0603551d14")  # 2.5.29.20
_EXPIRED_CERTS_ON_CRL = bytes.fromhex("0603551d3c")  # 2.5.29.60, X.509 9.5.2.8, a GeneralizedTime
_NEXT_CRL_PUBLISH = bytes.fromhex("06092b0601040182371504")
"""1.3.6.1.4.1.311.21.4, szOID_CRL_NEXT_PUBLISH, a Time: Windows fetches the next CRL from then on
(https://learn.microsoft.com/openspecs/windows_protocols/ms-wcce/)."""

_VERSION_2 = der.integer(1)


@dataclass(frozen=True)
class CrlDraft:
    """A CRL before its signature. Times in whole seconds, UTC.

    Attributes:
        revoked_certificates: DER, empty where there is no entry.
        next_publish: from when on clients should look for the next one.
        expired_since: certificates that expired from then on are still in the list; None says nothing about it.
    """

    issuer: IssuerMaterial
    number: int
    this_update: datetime
    next_update: datetime
    next_publish: datetime
    revoked_certificates: bytes
    expired_since: datetime | None = None

    def tbs(self) -> bytes:
        """TBSCertList (RFC 5280 5.1.2); the issuer's name byte by byte as in its certificate."""
        return der.sequence(
            _VERSION_2,
            signature_algorithm(self.issuer.public_key),
            self.issuer.record.subject_der,
            der.time(self.this_update),
            der.time(self.next_update),
            self.revoked_certificates,
            der.explicit(0, der.sequence(*self._extensions())),
        )

    def sign(self, key: PrivateKey) -> bytes:
        """The CRL, DER. Raises SignatureRefused unless the signature is the issuer's, and what the key raises."""
        tbs = self.tbs()
        signature = sign(key, tbs)
        try:
            verify(self.issuer.public_key, signature, tbs)
        except InvalidSignature as error:
            raise SignatureRefused from error
        return assemble(tbs, self.issuer.public_key, signature)

    def _extensions(self) -> list[bytes]:
        """None is critical (RFC 5280 5.2.1, 5.2.3)."""
        key_identifier = der.tlv(0x80, self.issuer.key_identifier.digest)
        extensions = [
            _extension(_AUTHORITY_KEY_IDENTIFIER, der.sequence(key_identifier)),
            _extension(_CRL_NUMBER, der.integer(self.number)),
            _extension(_NEXT_CRL_PUBLISH, der.time(self.next_publish)),
        ]
        if self.expired_since is not None:
            extensions.append(_extension(_EXPIRED_CERTS_ON_CRL, der.generalized_time(self.expired_since)))
        return extensions


def _extension(oid: bytes, value: bytes) -> bytes:
    return der.sequence(oid, der.octet_string(value))


def to_pem(crl: bytes) -> bytes:
    """A DER CRL as PEM (RFC 7468 6)."""
    return x509.load_der_x509_crl(crl).public_bytes(serialization.Encoding.PEM)
