"""One certificate in the place of another: the directory's side of a renewal, and of the end of the overlap.

The new certificate is claimed for the old one when it is reserved, so that two renewals never both go through; once it
is issued, the old one is revoked as superseded when the overlap ends (RFC 5280 5.3.1), unless its successor was revoked
by then.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from shared.context import Context
from shared.directory.ledger import Request
from shared.directory.records.base import Record
from shared.directory.records.certificate import (
    Certificate,
    CertificateKind,
    CertificateStatus,
    RevocationReason,
    RevocationSource,
    Succession,
    certificate_key,
)
from shared.directory.transaction import Transaction
from shared.pki.errors import AlreadyRenewed, CertificateNotFound, NotRenewable, RenewalInFlight
from shared.pki.revocation.ending import give_up, revoked

RENEWABLE_AFTER_END = timedelta(days=30)
"""A renewal rests on the caller's permission and on what the directory says today, not on the old certificate: so one
that has ended can be renewed. Longer ago, its type and length say little about what is wanted now."""


def check_renewable(certificate: Certificate | None, now: datetime, certificate_id: int) -> Certificate:
    """The certificate, if another one may be ordered in its place.

    Raises: CertificateNotFound; NotRenewable where it is revoked, on hold, never issued, or ended too long ago.
    """
    if certificate is None or certificate.kind is not CertificateKind.ENTRA_USER:
        raise CertificateNotFound(certificate_id)
    if certificate.status is not CertificateStatus.ISSUED:
        raise NotRenewable(certificate, f"is {certificate.status}")
    if now > certificate.not_after + RENEWABLE_AFTER_END:
        raise NotRenewable(certificate, f"ended more than {RENEWABLE_AFTER_END.days} days ago")
    return certificate


def check_not_renewed(old: Certificate, successor: Certificate | None, now: datetime) -> None:
    """`successor`: what `old.renewed_by` names. One that was revoked, or came to nothing, does not stand in the way.

    Raises: AlreadyRenewed; RenewalInFlight while it may be being signed.
    """
    if successor is None or successor.status is CertificateStatus.REVOKED:
        return
    if successor.status is not CertificateStatus.PENDING:
        raise AlreadyRenewed(old, successor)
    if now < successor.sign_before:
        raise RenewalInFlight(old, successor.sign_before - now)


def claim(tx: Transaction, certificate: Certificate) -> None:
    """Takes the place of the certificate that this reservation renews. Raises as the two checks above.

    An earlier reservation that nobody came back for may have been signed: it is revoked.
    """
    if certificate.renews is None:
        return
    old = check_renewable(_get(tx, certificate.renews), tx.time, certificate.renews)
    successor = _get(tx, old.renewed_by)
    check_not_renewed(old, successor, tx.time)
    if successor is not None and successor.status is CertificateStatus.PENDING:
        give_up(tx, successor.id)
    tx.put(replace(old, renewed_by=certificate.id, updated_at=tx.time))


def check_claim(tx: Transaction, certificate: Certificate) -> None:
    """Whether the place is still this reservation's. Raises CertificateNotFound, NotRenewable, AlreadyRenewed."""
    if certificate.renews is None:
        return
    old = check_renewable(_get(tx, certificate.renews), tx.time, certificate.renews)
    if old.renewed_by != certificate.id:
        check_not_renewed(old, _get(tx, old.renewed_by), tx.time)


def unclaim(tx: Transaction, certificate: Certificate) -> None:
    """Gives the place back: the reservation is being deleted."""
    old = _get(tx, certificate.renews)
    if old is not None and old.renewed_by == certificate.id:
        tx.put(replace(old, renewed_by=None, updated_at=tx.time))


def succeed(tx: Transaction, certificate: Certificate, overlap: timedelta) -> None:
    """The successor is issued: the old certificate goes at once, or is put down for the end of the overlap.

    One that ends by itself before that is left alone: the CRL need not carry it.
    """
    old = _get(tx, certificate.renews)
    if old is None or not old.is_live(tx.time):
        return
    if not overlap:
        tx.put(revoked(old, tx, RevocationReason.SUPERSEDED, RevocationSource.RENEWAL))
    elif tx.time + overlap <= old.not_after:
        tx.put(Succession(due_at=tx.time + overlap, certificate_id=old.id, renewed_by=certificate.id))


def supersede(row: Succession, context: Context) -> Request[bool]:
    """The overlap is over: whether the old certificate was revoked. It is not where its successor did not live on."""

    def decide(tx: Transaction) -> bool:
        tx.delete(Succession, row.key)
        old, successor = _get(tx, row.certificate_id), _get(tx, row.renewed_by)
        if old is None or successor is None or not old.is_live(tx.time) or not successor.is_live(tx.time):
            return False
        if old.renewed_by != successor.id:
            return False
        tx.put(revoked(old, tx, RevocationReason.SUPERSEDED, RevocationSource.RENEWAL))
        return True

    reads: list[tuple[type[Record], str]] = [(Succession, row.key)]
    reads += [(Certificate, certificate_key(number)) for number in (row.certificate_id, row.renewed_by)]
    return Request("certificate.superseded", context, decide, reads)


def _get(tx: Transaction, certificate_id: int | None) -> Certificate | None:
    return None if certificate_id is None else tx.get(Certificate, certificate_key(certificate_id))


def awaits_renewal(certificate: Certificate, successor: Certificate | None, now: datetime) -> bool:
    """Whether somebody should see to the certificate's end: it is in use, and nothing has taken its place.

    `successor`: what `certificate.renewed_by` names.
    """
    if certificate.kind is not CertificateKind.ENTRA_USER or certificate.status is not CertificateStatus.ISSUED:
        return False
    live = successor is not None and successor.status in (CertificateStatus.ISSUED, CertificateStatus.HELD)
    return now <= certificate.not_after and not live
