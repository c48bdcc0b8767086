"""What pkilint, an independent checker of certificates, says of one. It is a development dependency, not the app's."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Finding:
    """`severity`: NOTICE, WARNING, ERROR or FATAL."""

    severity: str
    code: str
    message: str

    @property
    def is_error(self) -> bool:
        return self.severity in ("ERROR", "FATAL")


def pkix_findings(der: bytes) -> list[Finding]:
    """Against RFC 5280 and its relatives, notices included. Raises ImportError without pkilint."""
    return _findings(_pkix_validator(), der)


def smime_findings(der: bytes, level: str) -> list[Finding]:
    """Against the CA/B Forum's S/MIME rules for the level (`MAILBOX`, `INDIVIDUAL`), generation "multipurpose"."""
    return _findings(_smime_validator(level), der)


def closest_smime_level(der: bytes) -> str:
    """A certificate that names a person can only be individual-validated, one that does not mailbox-validated."""
    subject = x509.load_der_x509_certificate(der).subject
    return "INDIVIDUAL" if subject.get_attributes_for_oid(NameOID.SURNAME) else "MAILBOX"


@cache
def _pkix_validator() -> Any:
    from pkilint.pkix import certificate, extension, name

    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


@cache
def _smime_validator(level: str) -> Any:
    from pkilint.cabf import smime
    from pkilint.cabf.smime.smime_constants import Generation, ValidationLevel
    from pkilint.pkix import certificate

    return certificate.create_pkix_certificate_validator_container(
        smime.create_decoding_validators(),
        smime.create_subscriber_validators(ValidationLevel[level], Generation.MULTIPURPOSE),
    )


def _findings(validator: Any, der: bytes) -> list[Finding]:
    from pkilint import loader
    from pkilint.validation import ValidationFindingSeverity

    parsed = loader.RFC5280CertificateDocumentLoader().load_der_document(der, "certificate")
    found: Iterable[Any] = (
        described for result in validator.validate(parsed.root) for described in result.finding_descriptions
    )
    return [
        Finding(described.finding.severity.name, described.finding.code, described.message or "")
        for described in found
        if described.finding.severity <= ValidationFindingSeverity.NOTICE  # beyond are remarks on what is in order
    ]
