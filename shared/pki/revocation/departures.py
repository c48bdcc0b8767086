"""What happens to a user's certificates when the user changes, or a key leaks: in the same transaction as that change.

Disabled, deleted or out of scope: held, and lifted again when the user is back. Deleted for good: revoked. Renamed:
every certificate that names the user otherwise is revoked, or else whoever gets the name next could be logged in by it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from shared.context import Context
from shared.directory.events import CertificateLoss
from shared.directory.ledger import Request
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    CertificateType,
    CertifiedKey,
    PendingCertificate,
    RevocationBacklog,
    RevocationReason,
    RevocationSource,
    UserCertificate,
    certificate_key,
    certified_key_key,
    pending_certificate_key,
    revocation_backlog_key,
    user_certificates_prefix,
)
from shared.directory.records.user import EntraDeletion, User, user_key
from shared.directory.transaction import Transaction
from shared.pki.issuance.holder import addresses, still_names

AT_ONCE = 40
"""Certificates of one user in one transaction; further ones follow, and count as revoked meanwhile."""


class OnDeparture(StrEnum):
    """What an installation does with the certificates of a user who is disabled, deleted or out of scope."""

    HOLD = "hold"
    """certificateHold, lifted when the user is back."""
    REVOKE = "revoke"
    """cessationOfOperation, for good."""
    KEEP = "keep"


@dataclass(frozen=True, kw_only=True)
class DeparturePolicy:
    """The mapping from what Entra says of a user to what becomes of the certificates.

    Attributes:
        disabled: for users whose account is disabled, or who left the scope of the sync.
        deleted: for users in Entra's recycle bin. Those deleted for good are always revoked.
        held_types: the types that a hold is for; signatures made with others (code signing) must outlive their maker.
        renamed: whether certificates that name a user otherwise than Entra does now are revoked (superseded).
        exempt: object ids of users whose certificates the directory never touches.
    """

    disabled: OnDeparture = OnDeparture.HOLD
    deleted: OnDeparture = OnDeparture.HOLD
    held_types: frozenset[CertificateType] = frozenset({CertificateType.CLIENT_AUTH, CertificateType.EMAIL_PROTECTION})
    renamed: bool = True
    exempt: frozenset[str] = frozenset()


class Departures:
    """The observer of user changes. Its decisions are pure, so that a dry run can ask for them."""

    def __init__(self, policy: DeparturePolicy) -> None:
        self._policy = policy

    def observe(self, tx: Transaction, before: User | None, after: User) -> tuple[CertificateLoss, ...]:
        """A `UserObserver`."""
        return self.settle(tx, after) if before is not None and _may_matter(before, after) else ()

    def settle(self, tx: Transaction, user: User) -> tuple[CertificateLoss, ...]:
        """Brings the user's certificates to where they belong: at once if they are few, else the first of them.

        The others are left to `continue_backlog`; until then the user row says that all of them count as revoked.
        Returns all that the user loses, at once or later.
        """
        changes = [(certificate, self._settled(tx, certificate, user)) for certificate in _live(tx, user)]
        due = [(before, after) for before, after in changes if after is not before]
        since = user.updated_at if user.revocation_pending else tx.time
        for before, after in due[:AT_ONCE]:
            tx.put(replace(after, revoked_at=_moment(before, after, since), updated_at=tx.time))
            if before.status is CertificateStatus.PENDING:
                tx.delete(PendingCertificate, pending_certificate_key(before.id))
        behind = len(due) > AT_ONCE
        if behind:
            tx.put(RevocationBacklog(user_id=user.id))
        elif user.revocation_pending:
            tx.delete(RevocationBacklog, revocation_backlog_key(user.id))
        if user.revocation_pending is not behind:
            tx.put(replace(user, revocation_pending=behind, updated_at=tx.time))
        return tuple(_loss(before, after, user) for before, after in due if after.revocation_reason is not None)

    def _settled(self, tx: Transaction, certificate: Certificate, user: User) -> Certificate:
        return self.outcome(certificate, user, tx.get(CertifiedKey, certified_key_key(certificate.public_key_sha256)))

    def outcome(self, certificate: Certificate, user: User, key: CertifiedKey | None = None) -> Certificate:
        """The certificate as it should be for this user; the same object where nothing is to be done.

        `key`: what is known of its key, unless it is known not to have leaked.
        """
        if key is not None and key.compromised:
            leaked = _revoked(certificate, RevocationReason.KEY_COMPROMISE)
            return replace(leaked, revocation_source=RevocationSource.REQUEST)
        if user.object_id is None or user.object_id in self._policy.exempt:
            return certificate
        if user.deletion is EntraDeletion.HARD:
            return _revoked(certificate, RevocationReason.CESSATION_OF_OPERATION)
        if self._policy.renamed and not still_names(certificate, user):
            return _revoked(certificate, RevocationReason.SUPERSEDED)
        if user.is_active:
            return _lifted(certificate)
        return self._departed(certificate, self._policy.deleted if user.deletion else self._policy.disabled)

    def _departed(self, certificate: Certificate, action: OnDeparture) -> Certificate:
        if action is OnDeparture.REVOKE:
            return _revoked(certificate, RevocationReason.CESSATION_OF_OPERATION)
        if certificate.status is CertificateStatus.PENDING:
            return _revoked(certificate, RevocationReason.PRIVILEGE_WITHDRAWN)
        if action is OnDeparture.HOLD and certificate.certificate_type in self._policy.held_types:
            return _held(certificate)
        return certificate

    def continue_backlog(self, user_id: int, context: Context) -> Request[bool]:
        """The next certificates of a user who has too many for one transaction. True when none is left."""

        def decide(tx: Transaction) -> bool:
            user = tx.get(User, user_key(user_id))
            if user is None or not user.revocation_pending:
                tx.delete(RevocationBacklog, revocation_backlog_key(user_id))
                return True
            self.settle(tx, user)
            settled = tx.get(User, user_key(user_id))
            return settled is None or not settled.revocation_pending

        return Request("certificates.settled", context, decide, ((User, user_key(user_id)),))


def _may_matter(before: User, after: User) -> bool:
    """Whether the change can concern certificates at all: most changes of a user cannot, and cost no look-up."""
    if (before.is_active, before.deletion, before.in_scope) != (after.is_active, after.deletion, after.in_scope):
        return True
    if before.user_principal_name != after.user_principal_name or after.revocation_pending:
        return True
    if before.on_premises_security_identifier != after.on_premises_security_identifier:
        return True
    return addresses(before) != addresses(after)


def _live(tx: Transaction, user: User) -> Iterable[Certificate]:
    """The user's certificates that are neither revoked for good nor expired."""
    for link in tx.scan(UserCertificate, user_certificates_prefix(user.id)):
        if tx.time <= link.not_after:
            certificate = tx.get(Certificate, certificate_key(link.certificate_id))
            if certificate is not None and certificate.is_live(tx.time):
                yield certificate


def _revoked(certificate: Certificate, reason: RevocationReason) -> Certificate:
    return replace(
        certificate,
        status=CertificateStatus.REVOKED,
        revocation_reason=reason,
        revocation_source=RevocationSource.DIRECTORY,
    )


def _held(certificate: Certificate) -> Certificate:
    """A hold that somebody asked for stays theirs: the directory will not lift it."""
    if certificate.status is CertificateStatus.HELD:
        return certificate
    return replace(
        certificate,
        status=CertificateStatus.HELD,
        revocation_reason=RevocationReason.CERTIFICATE_HOLD,
        revocation_source=RevocationSource.DIRECTORY,
    )


def _lifted(certificate: Certificate) -> Certificate:
    if (
        certificate.status is not CertificateStatus.HELD
        or certificate.revocation_source is not RevocationSource.DIRECTORY
    ):
        return certificate
    return replace(
        certificate,
        status=CertificateStatus.ISSUED,
        revocation_reason=None,
        revocation_source=None,
    )


def _loss(before: Certificate, after: Certificate, user: User) -> CertificateLoss:
    """`after` is held or revoked. All certificates of a user with a backlog counted as revoked before."""
    assert after.revocation_reason is not None
    usable = before.status is not CertificateStatus.HELD and not user.revocation_pending
    return CertificateLoss(before.id, before.serial_number, before.subject, after.revocation_reason, usable)


def _moment(before: Certificate, after: Certificate, since: datetime) -> datetime | None:
    """Since when it is revoked: a hold that becomes a revocation keeps its beginning (RFC 5280 5.3.1 lets it)."""
    if after.status is CertificateStatus.ISSUED:
        return None
    return before.revoked_at or since
