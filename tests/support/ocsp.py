"""OCSP clients: OpenSSL, GnuTLS and cryptography, on requests and replies in files."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from shared.directory.records.certificate import Certificate
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.ocsp.responder import OcspResponder
from shared.pki.ocsp.responder_certificate import OcspCertification
from shared.pki.ocsp.signers import OcspSigners
from shared.pki.ocsp.statuses import OcspStatuses
from tests.support.crls import TestCrls
from tests.support.revocation_checkers import run

NEVER_CACHED = timedelta(0)


def responder_of(crls: TestCrls, *, replica: bool = True, pause: timedelta = timedelta(0)) -> OcspResponder:
    """Answers from what is committed, with nothing cached; without `replica`, from the table."""
    ca = crls.ca
    statuses = OcspStatuses(ca.ledger, crls.replica, crls.reader, max_age=NEVER_CACHED)
    if not replica:
        statuses._replica_missing_until = float("inf")
    signers = OcspSigners(OcspCertification(ca.ledger, ca.authority, clock=crls.clock), clock=crls.clock, pause=pause)
    return OcspResponder(ca.authority, statuses, signers, clock=crls.clock, cached_for=NEVER_CACHED)


def request_for(
    serial_number: int,
    issuer: IssuerMaterial,
    algorithm: hashes.HashAlgorithm | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """An OCSPRequest for one certificate, by cryptography."""
    algorithm = algorithm or hashes.SHA1()
    name, key = hashes.Hash(algorithm), hashes.Hash(algorithm)
    name.update(issuer.record.subject_der)
    key.update(_key_bits(issuer))
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        name.finalize(), key.finalize(), serial_number, algorithm
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(serialization.Encoding.DER)


def request_for_shown(certificate: Mapping[str, str]) -> bytes:
    """An OCSPRequest for a certificate as the API shows it, with `pem` and `chain_pem`."""
    leaf = x509.load_pem_x509_certificate(certificate["pem"].encode())
    issuer = x509.load_pem_x509_certificates(certificate["chain_pem"].encode())[0]
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256())
    return builder.build().public_bytes(serialization.Encoding.DER)


def path_of(request: bytes) -> str:
    """The path segment of a request by GET (RFC 6960, appendix A.1)."""
    return quote(base64.b64encode(request), safe="")


def _key_bits(issuer: IssuerMaterial) -> bytes:
    encoding, public = serialization.Encoding, serialization.PublicFormat
    if issuer.record.key_type.startswith("RSA"):
        return issuer.public_key.public_bytes(encoding.DER, public.PKCS1)
    return issuer.public_key.public_bytes(encoding.X962, public.UncompressedPoint)


def serial_of(certificate: Certificate) -> int:
    return int(certificate.serial_number, 16)


@dataclass(frozen=True)
class OcspFiles:
    """PEM files for command-line clients."""

    folder: Path
    issuer: IssuerMaterial

    @property
    def issuer_pem(self) -> Path:
        path = self.folder / f"{self.issuer.id}.pem"
        path.write_text(self.issuer.pem)
        return path

    def certificate(self, certificate: Certificate) -> Path:
        assert certificate.der is not None
        path = self.folder / f"{certificate.serial_number}.pem"
        parsed = x509.load_der_x509_certificate(certificate.der)
        path.write_bytes(parsed.public_bytes(serialization.Encoding.PEM))
        return path

    def openssl_request(self, arguments: Sequence[str]) -> bytes:
        out = self.folder / "request.der"
        run(["openssl", "ocsp", "-issuer", str(self.issuer_pem), *arguments, "-reqout", str(out)])
        return out.read_bytes()

    def openssl_verdict(self, reply: bytes, arguments: Sequence[str]) -> str:
        """What `openssl ocsp` says of a reply to the request of these arguments, signature and nonce checked."""
        path, request = self.folder / "reply.der", self.folder / "request.der"
        path.write_bytes(reply)
        chosen = ["-reqin", str(request)] if "-no_nonce" not in arguments else []
        ca = ["-issuer", str(self.issuer_pem), "-CAfile", str(self.issuer_pem)]
        return run(["openssl", "ocsp", *ca, *chosen, *arguments, "-respin", str(path)])
