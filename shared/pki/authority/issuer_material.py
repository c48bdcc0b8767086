"""An issuer with its certificates parsed: all that is public about it."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from shared.directory.records.issuer import Issuer
from shared.pki.keys import PublicKey


@dataclass(frozen=True)
class IssuerMaterial:
    """An issuer that has its certificate. `parents`: the certificates above it, the root last; empty if self-signed."""

    record: Issuer
    certificate: x509.Certificate
    parents: tuple[x509.Certificate, ...] = ()

    @classmethod
    def of(cls, record: Issuer) -> "IssuerMaterial":
        """Raises ValueError if the record has no certificate yet, or one that cannot be parsed."""
        if record.der is None:
            raise ValueError(f"the issuer {record.id} has no certificate yet")
        parents = x509.load_pem_x509_certificates(record.parents_pem.encode()) if record.parents_pem else []
        return cls(record, x509.load_der_x509_certificate(record.der), tuple(parents))

    @property
    def id(self) -> str:
        return self.record.id

    @cached_property
    def name(self) -> x509.Name:
        return self.certificate.subject

    @cached_property
    def public_key(self) -> PublicKey:
        return cast(PublicKey, self.certificate.public_key())

    @cached_property
    def key_identifier(self) -> x509.SubjectKeyIdentifier:
        """The bytes that stand in the certificate, which need not be what we would compute from the key."""
        return self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value

    @cached_property
    def not_before(self) -> datetime:
        return self.certificate.not_valid_before_utc

    @cached_property
    def not_after(self) -> datetime:
        """The earliest end of the chain: nothing below can be valid beyond it."""
        return min(certificate.not_valid_after_utc for certificate in (self.certificate, *self.parents))

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @cached_property
    def pem(self) -> str:
        return _pem(self.certificate)

    @cached_property
    def chain_pem(self) -> str:
        """The issuer's certificate and those above it, the root last."""
        return "".join(map(_pem, (self.certificate, *self.parents)))


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
