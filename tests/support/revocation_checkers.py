"""Other people's checkers on our CRLs and OCSP replies: pkilint, OpenSSL, GnuTLS."""

import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pkilint import loader, pkix
from pkilint.pkix import crl, extension, name, ocsp
from pkilint.validation import ValidationFindingSeverity

from shared.pki.crl.revocation_list import to_pem


def crl_findings(encoded: bytes) -> list[str]:
    """What pkilint's RFC 5280 CRL linter says (`lint_crl -t CRL -p PKIX`), notices included."""
    document = loader.RFC5280CertificateListDocumentLoader().load_der_document(encoded, "crl")
    return _findings(_crl_validator().validate(document.root))


def ocsp_findings(encoded: bytes) -> list[str]:
    """What pkilint's RFC 6960 linter says (`lint_ocsp_response`), notices included."""
    document = loader.RFC6960OCSPResponseDocumentLoader().load_der_document(encoded, "reply")
    return _findings(_ocsp_validator().validate(document.root))


@cache
def _crl_validator() -> Any:
    return crl.create_pkix_crl_validator_container(
        _decoders(),
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([]),
            crl.create_extensions_validator_container([]),
        ],
    )


@cache
def _ocsp_validator() -> Any:
    return ocsp.create_pkix_ocsp_response_validator_container([ocsp.create_response_decoder(), *_decoders()], [])


def _decoders() -> list[Any]:
    return [
        pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
        pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
    ]


def _findings(results: Any) -> list[str]:
    return [
        f"{described.finding.severity.name} {described.finding.code} {described.message or ''}".strip()
        for result in results
        for described in result.finding_descriptions
        if described.finding.severity <= ValidationFindingSeverity.NOTICE
    ]


def openssl_crl_refusal(issuer_pem: str, encoded: bytes, folder: Path) -> str:
    """What `openssl crl` says of a CRL whose signature it does not accept; else empty."""
    ca, crl_file = _files(issuer_pem, encoded, folder)
    said = run(["openssl", "crl", "-inform", "DER", "-in", str(crl_file), "-CAfile", str(ca), "-noout"])
    return "" if said.strip() == "verify OK" else said


def gnutls_crl_refusal(issuer_pem: str, encoded: bytes, folder: Path) -> str:
    """What `certtool --verify-crl` says of a CRL that it does not accept; else empty."""
    ca, crl_file = _files(issuer_pem, to_pem(encoded), folder)
    command = ["certtool", "--verify-crl", "--infile", str(crl_file), "--load-ca-certificate", str(ca)]
    said = run(command, code=None)
    return "" if "Verification output: Verified." in said else said


def has_gnutls() -> bool:
    return shutil.which("certtool") is not None and shutil.which("ocsptool") is not None


def _files(issuer_pem: str, encoded: bytes, folder: Path) -> tuple[Path, Path]:
    ca, crl_file = folder / "issuer.pem", folder / "crl.der"
    ca.write_text(issuer_pem)
    crl_file.write_bytes(encoded)
    return ca, crl_file


def run(command: Sequence[str], *, code: int | None = 0, folder: Path | None = None) -> str:
    """Standard output and standard error together; fails with them on another exit code."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=folder)
    assert code is None or done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
