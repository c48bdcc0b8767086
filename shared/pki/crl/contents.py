"""What belongs into the CRL of an issuer: everything that is revoked or on hold, as of one position of the log."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.context import Deadline
from shared.directory.ledger import Ledger
from shared.directory.partition import prefix_end
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    CertificateType,
    CertifiedKey,
    RevocationBacklog,
    RevocationReason,
    UserCertificate,
    certificate_key,
    certified_key_key,
    user_certificates_prefix,
)
from shared.directory.records.crl import CarriedRevocation, carried_prefix
from shared.directory.records.user import User, user_key
from shared.directory.replica.queries import CertificateQuery, RevokedCertificate
from shared.directory.replica.replica import Replica
from shared.pki.authority.authority import MAX_CLOCK_SKEW
from shared.pki.crl.entries import EntryWriter
from shared.pki.crl.revocation_list import CODE_SIGNING_RETENTION
from shared.pki.revocation.departures import Departures

TAKEN_AWAY = frozenset({CertificateStatus.REVOKED, CertificateStatus.HELD})
_BACKLOG = f"{RevocationBacklog.KIND}|"
_NEVER = datetime(9000, 1, 1, tzinfo=UTC)
"""When a certificate ends of which nothing is known."""


@dataclass(frozen=True)
class CrlContents:
    """What a CRL is to say.

    Attributes:
        seq: the log position that it covers.
        entries: how many there are in `revoked_certificates`, which is DER.
        sha256: of all that is revoked, those included that are left out for their age.
        has_code_signing: whether the issuer ever certified a key for code signing.
    """

    seq: int
    entries: int
    revoked_certificates: bytes
    sha256: str
    has_code_signing: bool


class CrlReader:
    """Reads what is revoked from the replica, and from the ledger what the records do not say yet."""

    def __init__(self, ledger: Ledger, replica: Replica, departures: Departures) -> None:
        self._ledger = ledger
        self._replica = replica
        self._departures = departures

    def read(self, issuer_id: str, this_update: datetime, before: datetime | None, deadline: Deadline) -> CrlContents:
        """Everything committed before this call.

        An entry is left out once its certificate has expired and a CRL made after that has shown it (RFC 5280 3.3).

        Args:
            this_update: of the CRL to be: nothing in it is of later.
            before: thisUpdate of the CRL that is published now, if one is.

        Raises: ReplicaBuilding, ReplicaUnavailable, StorageUnavailable.
        """
        head = self._ledger.head()
        backlog = {row.user_id for row in self._ledger.scan(RevocationBacklog)}
        carried = list(self._carried(issuer_id))
        self._replica.prepare(deadline)
        with self._replica.revoked_certificates(issuer_id) as (seq, listed):
            # Whoever came into the backlog between the scan and this position is named by the log.
            backlog |= self._entered_backlog(head.seq, seq)
            further = {entry.serial_number: entry for entry in (*carried, *self._of_backlog(issuer_id, backlog))}
            return self._written(issuer_id, seq, _merged(listed, further), this_update, before)

    def of_backlog(self, certificates: Collection[Certificate], user: User) -> list[Certificate]:
        """A user's certificates as they count: in the backlog, records are not all where they belong yet."""
        if not user.revocation_pending:
            return list(certificates)
        keys = self._ledger.get_many(
            CertifiedKey, sorted({certified_key_key(each.public_key_sha256) for each in certificates})
        )
        return [
            each
            if each.status is CertificateStatus.REVOKED
            else self._departures.outcome(each, user, keys.get(certified_key_key(each.public_key_sha256)))
            for each in certificates
        ]

    def _written(
        self,
        issuer_id: str,
        seq: int,
        revoked: Iterable[RevokedCertificate],
        this_update: datetime,
        before: datetime | None,
    ) -> CrlContents:
        writer, digest = EntryWriter(), hashlib.sha256()
        for entry in revoked:
            digest.update(f"{entry.serial_number} {entry.revoked_at.timestamp()} {entry.reason}\n".encode())
            if before is None or _needed_until(entry) >= before:
                writer.add(bytes.fromhex(entry.serial_number), min(entry.revoked_at, this_update), entry.reason)
        code_signing = CertificateQuery(certificate_type=CertificateType.CODE_SIGNING, issuer_id=issuer_id, per_page=1)
        return CrlContents(
            seq=seq,
            entries=writer.entries,
            revoked_certificates=writer.revoked_certificates(),
            sha256=digest.hexdigest(),
            has_code_signing=self._replica.certificates(code_signing).total > 0,
        )

    def _carried(self, issuer_id: str) -> Iterator[RevokedCertificate]:
        prefix = carried_prefix(issuer_id)
        for row in self._ledger.scan(CarriedRevocation, start=prefix, end=prefix_end(prefix)):
            yield RevokedCertificate(
                serial_number=row.serial_number,
                revoked_at=row.revoked_at,
                reason=row.reason,
                not_after=_NEVER,
                certificate_type=None,
            )

    def _entered_backlog(self, after: int, until: int) -> set[int]:
        rows = self._ledger.log(after, until) if until > after else iter(())
        changes = (change for row in rows for operation in row.operations for change in operation.changes)
        return {int(change.key.removeprefix(_BACKLOG)) for change in changes if change.key.startswith(_BACKLOG)}

    def _of_backlog(self, issuer_id: str, user_ids: Iterable[int]) -> Iterator[RevokedCertificate]:
        for user_id in user_ids:
            user = self._ledger.get(User, user_key(user_id))
            if user is not None:
                prefix = user_certificates_prefix(user_id)
                links = self._ledger.scan(UserCertificate, start=prefix, end=prefix_end(prefix))
                keys = [certificate_key(link.certificate_id) for link in links]
                certificates = self._ledger.get_many(Certificate, keys).values()
                for certificate in self.of_backlog(certificates, user):
                    if certificate.issuer_id == issuer_id and certificate.status in TAKEN_AWAY:
                        yield _revoked(certificate, user)


def _revoked(certificate: Certificate, user: User) -> RevokedCertificate:
    return RevokedCertificate(
        serial_number=certificate.serial_number,
        revoked_at=certificate.revoked_at or user.updated_at,
        reason=certificate.revocation_reason or RevocationReason.UNSPECIFIED,
        not_after=certificate.not_after,
        certificate_type=certificate.certificate_type,
    )


def _merged(
    listed: Iterable[RevokedCertificate], further: dict[str, RevokedCertificate]
) -> Iterator[RevokedCertificate]:
    """Each serial number once; `further` knows better."""
    for entry in listed:
        if entry.serial_number not in further:
            yield entry
    yield from (further[serial_number] for serial_number in sorted(further))


def _needed_until(entry: RevokedCertificate) -> datetime:
    """What a CRL must be later than, so that the one after it may leave the entry out."""
    retention = CODE_SIGNING_RETENTION if entry.certificate_type is CertificateType.CODE_SIGNING else timedelta(0)
    return max(entry.not_after + retention, entry.revoked_at) + MAX_CLOCK_SKEW
