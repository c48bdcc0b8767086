"""The directory's side of issuance: what each step reads, decides and writes, in one transaction each.

Nothing here signs anything or knows how a certificate is built.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.context import Context
from shared.directory.erasure import is_erased
from shared.directory.errors import UserNotFound
from shared.directory.ledger import Request
from shared.directory.records.base import Record
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    CertificateType,
    CertifiedKey,
    PendingCertificate,
    RevocationReason,
    RevocationSource,
    SerialNumber,
    UserCertificate,
    certificate_key,
    certified_key_key,
    pending_certificate_key,
    serial_number_key,
)
from shared.directory.records.idempotency import IdempotentRequest
from shared.directory.records.issuer import Issuer, IssuerStatus, issuer_key
from shared.directory.records.user import User, user_key
from shared.directory.transaction import Transaction
from shared.errors import AppError, FieldError
from shared.pki.errors import (
    IdempotencyInFlight,
    IssuanceOvertaken,
    IssuerChanged,
    SerialNumberTaken,
    UserChanged,
)
from shared.pki.issuance.holder import still_names
from shared.pki.issuance.idempotency import Once, may_be_resumed, was_answered
from shared.pki.issuance.mail import MailOwners, check_address
from shared.pki.issuance.policy import IssuancePolicy
from shared.pki.issuance.succession import check_claim, claim, succeed, unclaim
from shared.pki.revocation.ending import give_up, revoked

SIGNING_TIME = timedelta(seconds=60)
"""How long after its reservation a certificate may be signed."""


@dataclass(frozen=True)
class Confirmed:
    """The record as it is now. `refusal`: why it must not be handed out although it was signed; None: hand it out."""

    certificate: Certificate
    refusal: AppError | None = None


def reserve(
    certificate: Certificate, policy: IssuancePolicy, mail_owners: MailOwners, once: Once | None, context: Context
) -> Request[Certificate]:
    """Records the certificate as `pending`, under a new id, if all that it was built on still holds.

    `certificate`: as built; its id and its times as a record are given here.
    """

    def decide(tx: Transaction) -> Certificate:
        _check_current(tx, certificate, policy)
        _check_unique(tx, certificate)
        check_address(tx, certificate, mail_owners)
        if once is not None:
            _supersede(tx, once)
        reserved = replace(
            certificate,
            id=tx.next_id("certificate"),
            created_at=tx.time,
            updated_at=tx.time,
            sign_before=tx.time + SIGNING_TIME,
        )
        claim(tx, reserved)
        for record in rows_of(reserved):
            tx.put(record)
        if once is not None:
            tx.put(once.remember(reserved.id, tx.time))
        return reserved

    reads: list[tuple[type[Record], str]] = [
        (User, user_key(_owner(certificate))),
        (Issuer, issuer_key(certificate.issuer_id)),
        (SerialNumber, serial_number_key(certificate.serial_number)),
        (CertifiedKey, certified_key_key(certificate.public_key_sha256)),
        *_renewed(certificate),
    ]
    if once is not None:
        reads.append((IdempotentRequest, once.row_key))
    return Request("certificate.reserved", context, decide, reads)


def resume(certificate: Certificate, policy: IssuancePolicy, context: Context) -> Request[Certificate]:
    """Takes the lease of a reservation whose process did not come back: a new `sign_before`, the same bytes."""

    def decide(tx: Transaction) -> Certificate:
        current = _certificate(tx, certificate.id)
        if was_answered(current):
            return current
        if not may_be_resumed(current, tx.time):
            raise IssuanceOvertaken
        _check_still(tx, current, policy)
        leased = replace(current, sign_before=tx.time + SIGNING_TIME, updated_at=tx.time)
        tx.put(leased)
        return leased

    return Request("certificate.resumed", context, decide, _reads(certificate))


def confirm(
    certificate: Certificate, der: bytes, fingerprint: str, policy: IssuancePolicy, context: Context
) -> Request[Confirmed]:
    """`pending` → `issued`, with the signed certificate.

    What was revoked or held meanwhile stays so, but keeps the certificate (unless its user was purged); a user or
    issuer that may not any more turns it into a revoked one. Either way `refusal` says that nothing may be handed out.
    """

    def decide(tx: Transaction) -> Confirmed:
        current = _certificate(tx, certificate.id)
        if was_answered(current):
            return Confirmed(current)
        kept = None if is_erased(current) else der
        signed = replace(current, der=kept, fingerprint=fingerprint, tbs=None, updated_at=tx.time)
        tx.delete(PendingCertificate, pending_certificate_key(current.id))
        refusal: AppError | None = IssuanceOvertaken()
        if current.status is CertificateStatus.PENDING:
            refusal = _refusal(lambda: _check_still(tx, current, policy))
            if refusal is None:
                signed = replace(signed, status=CertificateStatus.ISSUED, issued_at=tx.time)
                succeed(tx, signed, policy.renewal_overlap)
            else:
                signed = revoked(signed, tx, RevocationReason.PRIVILEGE_WITHDRAWN, RevocationSource.DIRECTORY)
        tx.put(signed)
        return Confirmed(signed, refusal)

    return Request("certificate.confirmed", context, decide, _reads(certificate))


def withdraw(certificate_id: int, context: Context) -> Request[bool]:
    """Takes a reservation back of which it is certain that nothing was signed; only the log remembers it then.

    The decision is whether it did: what somebody else has closed meanwhile stays as it is, and so does a reservation
    that was resumed, for whoever had it before may have signed.
    """

    def decide(tx: Transaction) -> bool:
        current = tx.get(Certificate, certificate_key(certificate_id))
        if current is None or current.status is not CertificateStatus.PENDING:
            return False
        if current.sign_before != current.created_at + SIGNING_TIME:
            return False
        unclaim(tx, current)
        for record in rows_of(current):
            if not isinstance(record, CertifiedKey):  # that one may be older; and the key is this user's in any case
                tx.delete(type(record), record.key)
        return True

    reads = [
        (Certificate, certificate_key(certificate_id)),
        (PendingCertificate, pending_certificate_key(certificate_id)),
    ]
    return Request("certificate.withdrawn", context, decide, reads)


def sweep(certificate_id: int, context: Context) -> Request[bool]:
    """Gives a reservation up: possibly signed, so revoked. False if it is not pending any more, or is being signed."""

    def decide(tx: Transaction) -> bool:
        current = tx.get(Certificate, certificate_key(certificate_id))
        if current is not None and current.status is CertificateStatus.PENDING and tx.time < current.sign_before:
            return False
        return give_up(tx, certificate_id)

    reads = [
        (Certificate, certificate_key(certificate_id)),
        (PendingCertificate, pending_certificate_key(certificate_id)),
    ]
    return Request("certificate.swept", context, decide, reads)


def rows_of(certificate: Certificate) -> list[Record]:
    """What a reservation puts into the directory; those of the CA's own certificates belong to no user."""
    owner = certificate.user_id
    rows: list[Record] = [
        certificate,
        SerialNumber(serial_number=certificate.serial_number, certificate_id=certificate.id),
        CertifiedKey(public_key_sha256=certificate.public_key_sha256, user_id=owner),
        PendingCertificate(certificate_id=certificate.id, created_at=certificate.created_at),
    ]
    if owner is not None:
        rows.append(UserCertificate(user_id=owner, certificate_id=certificate.id, not_after=certificate.not_after))
    return rows


def _owner(certificate: Certificate) -> int:
    if certificate.user_id is None:
        raise ValueError("only certificates of users are issued by order")
    return certificate.user_id


def _reads(certificate: Certificate) -> list[tuple[type[Record], str]]:
    return [
        (Certificate, certificate.key),
        (User, user_key(_owner(certificate))),
        (Issuer, issuer_key(certificate.issuer_id)),
        (PendingCertificate, pending_certificate_key(certificate.id)),
        *_renewed(certificate),
    ]


def _renewed(certificate: Certificate) -> list[tuple[type[Record], str]]:
    return [] if certificate.renews is None else [(Certificate, certificate_key(certificate.renews))]


def _certificate(tx: Transaction, certificate_id: int) -> Certificate:
    found = tx.get(Certificate, certificate_key(certificate_id))
    if found is None:
        raise IssuanceOvertaken  # only somebody who deletes rows by hand gets here; then nothing may be handed out
    return found


def _check_still(tx: Transaction, certificate: Certificate, policy: IssuancePolicy) -> None:
    """As `_check_current`; and what it renews, if anything, is still there for it to renew."""
    _check_current(tx, certificate, policy)
    check_claim(tx, certificate)


def _check_current(tx: Transaction, certificate: Certificate, policy: IssuancePolicy) -> None:
    """User and issuer, as they are now, still allow this certificate, and its names are still the user's.

    Raises what `IssuancePolicy.check_user` raises, UserChanged and IssuerChanged.
    """
    user_id = _owner(certificate)
    user = tx.get(User, user_key(user_id))
    if user is None:
        raise UserNotFound(user_id)
    policy.check_user(user, certificate.certificate_type or CertificateType.CLIENT_AUTH)
    if not still_names(certificate, user):
        raise UserChanged(user.name)
    issuer = tx.get(Issuer, issuer_key(certificate.issuer_id))
    if issuer is None or issuer.status is not IssuerStatus.ACTIVE:
        raise IssuerChanged


def _check_unique(tx: Transaction, certificate: Certificate) -> None:
    """Raises SerialNumberTaken, or FieldError for a key that is somebody else's or is known to have leaked."""
    if tx.get(SerialNumber, serial_number_key(certificate.serial_number)) is not None:
        raise SerialNumberTaken
    known = tx.get(CertifiedKey, certified_key_key(certificate.public_key_sha256))
    if known is None:
        return
    if known.compromised:
        raise FieldError("csr", "The key was reported as compromised: it is never certified again. Make a new one.")
    if known.user_id is None:
        raise FieldError("csr", "The key is one of the CA's own.")
    if known.user_id != certificate.user_id:
        raise FieldError("csr", "The key has been certified for another user. Make a new one.")


def _supersede(tx: Transaction, once: Once) -> None:
    """Makes way for a new reservation under an Idempotency-Key whose earlier one came to nothing.

    Raises IdempotencyKeyReused, or IdempotencyInFlight where the earlier one is alive: the repeated request will
    find it.
    """
    before = tx.get(IdempotentRequest, once.row_key)
    if before is None or not once.applies(before, tx.time):
        return
    earlier = tx.get(Certificate, certificate_key(before.certificate_id))
    if earlier is None:
        return
    if was_answered(earlier) or may_be_resumed(earlier, tx.time):
        raise IdempotencyInFlight(timedelta(seconds=1))
    give_up(tx, earlier.id)


def _refusal(check: Callable[[], None]) -> AppError | None:
    try:
        check()
    except AppError as error:
        return error
    return None
