"""Taking certificates away by request: revoked for good, held, or released from a hold."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from shared.context import Context
from shared.directory.ledger import Ledger, Request
from shared.directory.records.certificate import (
    MAX_COMMENT_LENGTH,
    Certificate,
    CertificateKind,
    CertificateStatus,
    CertifiedKey,
    PendingCertificate,
    RevocationReason,
    RevocationSource,
    certificate_key,
    certified_key_key,
    pending_certificate_key,
)
from shared.directory.records.user import User, user_key
from shared.directory.transaction import Transaction
from shared.errors import FieldError
from shared.pki.errors import AlreadyRevoked, CertificateExpired, CertificateNotFound, HeldByDirectory, NotHeld
from shared.pki.revocation.departures import Departures

REQUESTABLE = frozenset(RevocationReason) - {RevocationReason.CA_COMPROMISE, RevocationReason.AA_COMPROMISE}
"""What may be said of one certificate of a user."""


class Revocation:
    """Revokes, holds and releases. Every method is idempotent: the same again changes nothing.

    All raise CertificateNotFound, LedgerBusy, OutcomeUnknown and StorageUnavailable.
    """

    def __init__(self, ledger: Ledger, departures: Departures) -> None:
        self._ledger = ledger
        self._departures = departures

    def revoke(
        self, certificate_id: int, reason: RevocationReason, context: Context, *, comment: str | None = None
    ) -> Certificate:
        """Revokes for good, or puts on hold where the reason is certificateHold.

        With keyCompromise all certificates of that key are revoked, and it is never certified again; so it is worth
        reporting of an expired certificate too.
        Raises: AlreadyRevoked, CertificateExpired, FieldError for a comment of more than MAX_COMMENT_LENGTH characters.
        """
        if comment is not None and len(comment) > MAX_COMMENT_LENGTH:
            raise FieldError("comment", f"The comment field must not be greater than {MAX_COMMENT_LENGTH} characters.")

        key_leaked = reason is RevocationReason.KEY_COMPROMISE

        def change(tx: Transaction, current: Certificate) -> Certificate:
            if key_leaked:
                _condemn_key(tx, current)
            return _taken_away(current, reason, comment, tx.time)

        action = "certificate.held" if reason is RevocationReason.CERTIFICATE_HOLD else "certificate.revoked"
        return self._change(certificate_id, action, change, context, key_leaked=key_leaked)

    def release(self, certificate_id: int, context: Context) -> Certificate:
        """Lifts a hold that was put by request. While the user is away it becomes the directory's hold instead.

        Raises: NotHeld, HeldByDirectory.
        """

        def change(tx: Transaction, current: Certificate) -> Certificate:
            if current.status is CertificateStatus.ISSUED:
                return current
            if current.status is not CertificateStatus.HELD:
                raise NotHeld(current)
            if current.revocation_source is not RevocationSource.REQUEST:
                raise HeldByDirectory(current)
            return self._belongs(tx, replace(current, revocation_source=RevocationSource.DIRECTORY))

        return self._change(certificate_id, "certificate.released", change, context)

    def _belongs(self, tx: Transaction, certificate: Certificate) -> Certificate:
        """Where the directory would have the certificate now. Raises HeldByDirectory while it is not done with it."""
        user = tx.get(User, user_key(certificate.user_id or 0))
        if user is not None and user.revocation_pending:
            raise HeldByDirectory(certificate)
        settled = certificate if user is None else self._departures.outcome(certificate, user)
        return settled if settled.status is not CertificateStatus.ISSUED else _cleared(settled)

    def _change(
        self,
        certificate_id: int,
        action: str,
        change: Callable[[Transaction, Certificate], Certificate],
        context: Context,
        *,
        key_leaked: bool = False,
    ) -> Certificate:
        def decide(tx: Transaction) -> Certificate:
            current = tx.get(Certificate, certificate_key(certificate_id))
            if current is None or current.kind is not CertificateKind.ENTRA_USER:
                raise CertificateNotFound(certificate_id)
            after = change(tx, current)
            if after != current:
                if current.status is CertificateStatus.PENDING:
                    tx.delete(PendingCertificate, pending_certificate_key(certificate_id))
                after = replace(after, updated_at=tx.time)
                tx.put(after)
            user = tx.get(User, user_key(current.user_id or 0)) if key_leaked else None
            if user is not None:
                self._departures.settle(tx, user)
            return after

        reads = ((Certificate, certificate_key(certificate_id)),)
        return self._ledger.commit(Request(action, context, decide, reads), context.deadline).value


def _taken_away(current: Certificate, reason: RevocationReason, comment: str | None, moment: datetime) -> Certificate:
    """Raises AlreadyRevoked or CertificateExpired."""
    hold = reason is RevocationReason.CERTIFICATE_HOLD
    if current.status is CertificateStatus.REVOKED:
        if current.revocation_reason is reason:
            return current
        if reason is not RevocationReason.KEY_COMPROMISE:
            raise AlreadyRevoked(current)
    if hold and current.status is CertificateStatus.HELD:
        return current
    if moment > current.not_after:
        if reason is RevocationReason.KEY_COMPROMISE:
            return current
        raise CertificateExpired(current)
    if hold and current.status is CertificateStatus.PENDING:
        hold, reason = False, RevocationReason.UNSPECIFIED  # nothing to come back to: nobody has received it
    return replace(
        current,
        status=CertificateStatus.HELD if hold else CertificateStatus.REVOKED,
        revoked_at=current.revoked_at or moment,
        revocation_reason=reason,
        revocation_source=RevocationSource.REQUEST,
        revocation_comment=comment,
    )


def _cleared(certificate: Certificate) -> Certificate:
    return replace(
        certificate, revoked_at=None, revocation_reason=None, revocation_source=None, revocation_comment=None
    )


def _condemn_key(tx: Transaction, certificate: Certificate) -> None:
    known = tx.get(CertifiedKey, certified_key_key(certificate.public_key_sha256))
    if known is None:
        known = CertifiedKey(public_key_sha256=certificate.public_key_sha256, user_id=certificate.user_id)
    tx.put(replace(known, compromised=True))
