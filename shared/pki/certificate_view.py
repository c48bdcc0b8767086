"""One certificate for reading: the record, its chain and what to enter in Entra for it."""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509

from shared.directory.ledger import Ledger
from shared.directory.records.certificate import Certificate, CertificateKind, certificate_key
from shared.pki.authority.authority import Authority
from shared.pki.errors import CertificateNotFound
from shared.pki.user_ids import certificate_user_ids


@dataclass(frozen=True)
class CertificateView:
    """`user_ids` is empty while the certificate is pending."""

    certificate: Certificate
    chain_pem: str
    user_ids: Mapping[str, str]


class CertificateViews:
    """Finds users' certificates; the CA's own are not shown."""

    def __init__(self, ledger: Ledger, authority: Authority) -> None:
        self._ledger = ledger
        self._authority = authority

    def view(self, certificate_id: int) -> CertificateView:
        """Raises CertificateNotFound."""
        certificate = self._ledger.get(Certificate, certificate_key(certificate_id))
        if certificate is None or certificate.kind is not CertificateKind.ENTRA_USER:
            raise CertificateNotFound(certificate_id)
        user_ids: Mapping[str, str] = {}
        if certificate.der is not None:
            parsed = x509.load_der_x509_certificate(certificate.der)
            user_ids = certificate_user_ids(parsed, certificate.user_principal_name)
        return CertificateView(certificate, self._authority.issuer(certificate.issuer_id).chain_pem, user_ids)
