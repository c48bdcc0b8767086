"""Other people's checkers on our certificates: pkilint, OpenSSL, GnuTLS."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pkilint import loader
from pkilint.cabf import smime
from pkilint.cabf.smime.smime_constants import Generation, ValidationLevel
from pkilint.pkix import certificate, extension, name
from pkilint.validation import ValidationFindingSeverity


@dataclass(frozen=True)
class Finding:
    severity: str
    code: str
    message: str


def pkix_findings(der: bytes) -> list[Finding]:
    """What pkilint's RFC 5280 linter says of a certificate, notices included."""
    return _findings(_pkix_validator(), der)


def smime_findings(der: bytes, level: ValidationLevel) -> list[Finding]:
    """What pkilint's CA/B Forum S/MIME linter says, for the level and the multipurpose generation."""
    return _findings(_smime_validator(level), der)


def of_level_error(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity in ("ERROR", "FATAL")]


@cache
def _pkix_validator() -> Any:
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
def _smime_validator(level: ValidationLevel) -> Any:
    return certificate.create_pkix_certificate_validator_container(
        smime.create_decoding_validators(), smime.create_subscriber_validators(level, Generation.MULTIPURPOSE)
    )


def _findings(validator: Any, der: bytes) -> list[Finding]:
    parsed = loader.RFC5280CertificateDocumentLoader().load_der_document(der, "certificate")
    return [
        Finding(described.finding.severity.name, described.finding.code, described.message or "")
        for result in validator.validate(parsed.root)
        for described in result.finding_descriptions
        if described.finding.severity <= ValidationFindingSeverity.NOTICE
    ]


def openssl_refusals(root_pem: Path, certificates: Sequence[Path], purpose: str = "any") -> str:
    """What `openssl verify -x509_strict` prints about the certificates that it does not accept; empty if none."""
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(root_pem)]
    found = subprocess.run([*command, *map(str, certificates)], capture_output=True, text=True, check=False)
    refused = [line for line in found.stdout.splitlines() if not line.endswith(": OK")]
    accepted = len(found.stdout.splitlines()) - len(refused)
    if found.returncode == 0 and accepted == len(certificates):
        return ""
    return "\n".join([*refused, found.stderr.strip(), f"{accepted} of {len(certificates)} accepted"])


def has_gnutls() -> bool:
    return shutil.which("certtool") is not None


def gnutls_refusal(chain_pem: str) -> str:
    """What `certtool --verify-chain` says of a chain that it does not accept (leaf first, root last); else empty."""
    found = subprocess.run(["certtool", "--verify-chain"], input=chain_pem, capture_output=True, text=True, check=False)
    accepted = found.returncode == 0 and "Chain verification output: Verified." in found.stdout
    return "" if accepted else found.stdout[-400:] + found.stderr
