"""How a certificate's record ends: revoked for good, as of the transaction that decides it."""

from dataclasses import replace

from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    PendingCertificate,
    RevocationReason,
    RevocationSource,
    certificate_key,
    pending_certificate_key,
)
from shared.directory.transaction import Transaction


def revoked(
    certificate: Certificate, tx: Transaction, reason: RevocationReason, source: RevocationSource
) -> Certificate:
    """The record, revoked for good. One that was on hold has been revoked since then."""
    return replace(
        certificate,
        status=CertificateStatus.REVOKED,
        revoked_at=certificate.revoked_at or tx.time,
        revocation_reason=reason,
        revocation_source=source,
        updated_at=tx.time,
    )


def give_up(tx: Transaction, certificate_id: int) -> bool:
    """Revokes the certificate if it is pending, since it may have been signed; whether it was pending."""
    current = tx.get(Certificate, certificate_key(certificate_id))
    tx.delete(PendingCertificate, pending_certificate_key(certificate_id))
    if current is None or current.status is not CertificateStatus.PENDING:
        return False
    tx.put(revoked(current, tx, RevocationReason.UNSPECIFIED, RevocationSource.SWEEPER))
    return True
