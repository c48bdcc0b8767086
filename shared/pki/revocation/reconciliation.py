"""After a restore of the directory: what was published meanwhile is not taken back.

CRL numbers and local ids go past all that may have been given out; whatever an earlier CRL lists stays revoked, also
where the restored directory does not know the certificate at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from shared.context import Context
from shared.directory.blobs import BlobStore
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.api_token import ApiToken
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    CertifiedKey,
    PendingCertificate,
    RevocationReason,
    RevocationSource,
    SerialNumber,
    certificate_key,
    certified_key_key,
    pending_certificate_key,
    serial_number_key,
)
from shared.directory.records.crl import CarriedRevocation, CrlPointer, Restore, crl_key
from shared.directory.records.user import LOCAL_USERS, User
from shared.errors import AppError
from shared.pki.authority.authority import Authority
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.crl.errors import CrlNotOurs
from shared.pki.crl.store import crl_folder
from shared.pki.user_ids import serial_number_text

AT_ONCE = 200
_SPARE_NUMBERS = 1000
"""For CRLs that an operator published by hand, and for rebuilds that died with their number."""


def numbers_since(backup: datetime, now: datetime) -> int:
    """How many CRLs one issuer can have published meanwhile, generously: the timer makes one a minute at most."""
    return 2 * max(0, int((now - backup).total_seconds() // 60)) + _SPARE_NUMBERS


@dataclass(frozen=True)
class ReconciledIssuer:
    """What an issuer's published CRLs led to.

    Attributes:
        number: the highest number found; the next CRL gets a higher one. None: nothing was published.
        revoked: certificates that the restored directory took for good, and now has as revoked or held.
        carried: entries whose certificates the restored directory does not know.
    """

    issuer_id: str
    number: int | None
    revoked: int
    carried: int


class Reconciliation:
    """Can be repeated: what is in order already is left alone, but ids are skipped each time."""

    def __init__(self, ledger: Ledger, authority: Authority, blobs: BlobStore) -> None:
        self._ledger = ledger
        self._authority = authority
        self._blobs = blobs

    def run(
        self, crls: Sequence[bytes], skip_ids: int, context: Context, *, skip_numbers: int = 0
    ) -> list[ReconciledIssuer]:
        """Brings the directory up to the CRLs in the blob storage and to `crls` (DER or PEM, from wherever).

        Args:
            skip_ids: how many ids of users, certificates and API tokens may have been given out since the backup.
            skip_numbers: how many CRLs each issuer may have published since the backup, beside those that are found.

        Raises: CrlNotOurs for a CRL that none of our issuers signed; the first error of any change.
        """
        given = [_parsed(crl) for crl in crls]
        owners = [self._owner(crl) for crl in given]
        if skip_ids or skip_numbers:
            self._skip_ids(skip_ids, context)
        return [
            self._reconcile(
                issuer,
                [crl for crl, owner in zip(given, owners, strict=True) if owner == issuer],
                skip_numbers,
                context,
            )
            for issuer in self._authority.issuers()
        ]

    def _reconcile(
        self,
        issuer: IssuerMaterial,
        given: Sequence[x509.CertificateRevocationList],
        skip_numbers: int,
        context: Context,
    ) -> ReconciledIssuer:
        """The numbers last: until then the publisher refuses to make a CRL that lacks what is not carried over yet."""
        numbers = self._stored_numbers(issuer.id)
        crls = [*given, *self._newest_stored(issuer, numbers)]
        highest = max([*numbers, *map(_number, crls)], default=None)
        revoked = carried = 0
        for batch in _batches(_entries(crls)):
            requests = [_keep_revoked(issuer.id, entry, context) for entry in batch]
            for result in self._ledger.commit_all(requests, context.deadline):
                if isinstance(result, AppError):
                    raise result
                revoked += result.value == "revoked"
                carried += result.value == "carried"
        if highest is not None or skip_numbers:
            newest = max((crl.last_update_utc for crl in crls), default=issuer.not_before)
            past = _past(issuer.id, highest or 0, skip_numbers, newest, context)
            self._ledger.commit(past, context.deadline)
        return ReconciledIssuer(issuer.id, highest, revoked, carried)

    def _stored_numbers(self, issuer_id: str) -> dict[int, str]:
        folder = crl_folder(issuer_id)
        return {int(blob.name.removeprefix(folder)): blob.name for blob in self._blobs.list(folder)}

    def _newest_stored(
        self, issuer: IssuerMaterial, numbers: dict[int, str]
    ) -> Iterator[x509.CertificateRevocationList]:
        """The one with the highest number that can be read; a blob may be damaged or cut off."""
        for number in sorted(numbers, reverse=True):
            try:
                crl = x509.load_der_x509_crl(self._blobs.get(numbers[number]) or b"")
            except (AppError, ValueError):
                continue
            if crl.is_signature_valid(issuer.public_key):
                yield crl
                return

    def _owner(self, crl: x509.CertificateRevocationList) -> IssuerMaterial:
        for issuer in self._authority.issuers():
            if crl.issuer == issuer.name and crl.is_signature_valid(issuer.public_key):
                return issuer
        raise CrlNotOurs(crl.issuer.rfc4514_string())

    def _skip_ids(self, count: int, context: Context) -> None:
        last_seq = self._ledger.head().seq

        def decide(tx: Transaction) -> None:
            for sequence in (User.SEQUENCE, Certificate.SEQUENCE, ApiToken.SEQUENCE):
                for _ in range(count):
                    tx.next_id(str(sequence))
            tx.next_id(LOCAL_USERS)  # says that the ids of users have holes
            restore_id = tx.next_id("restore")
            tx.put(Restore(id=restore_id, reconciled_at=tx.time, skipped_ids=count, last_seq=last_seq))

        self._ledger.commit(Request("ids.skipped", context, decide), context.deadline)


@dataclass(frozen=True)
class _Entry:
    serial_number: str
    revoked_at: datetime
    reason: RevocationReason


def _entries(crls: Sequence[x509.CertificateRevocationList]) -> Iterator[_Entry]:
    """Of the CRL with the highest number: it has everything that the others have, but for lifted holds."""
    if not crls:
        return
    for entry in max(crls, key=_number):
        try:
            found = entry.extensions.get_extension_for_class(x509.CRLReason).value
        except x509.ExtensionNotFound:
            found = x509.CRLReason(x509.ReasonFlags.unspecified)
        serial_number = serial_number_text(entry.serial_number)
        yield _Entry(serial_number, entry.revocation_date_utc, RevocationReason(found.reason.value))


def _batches(entries: Iterator[_Entry]) -> Iterator[list[_Entry]]:
    batch: list[_Entry] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    yield batch


def _past(issuer_id: str, number: int, skip: int, this_update: datetime, context: Context) -> Request[None]:
    """The next CRL gets a number above `number`, and `skip` above the last; of `this_update` at the earliest."""

    def decide(tx: Transaction) -> None:
        current = tx.get(CrlPointer, crl_key(issuer_id))
        if current is None:
            current = CrlPointer(issuer_id=issuer_id, last_number=0, last_seq=0, last_this_update=this_update)
        last = max(current.last_number + skip, number)
        latest = max(current.last_this_update, this_update)
        tx.put(replace(current, last_number=last, last_this_update=latest))

    return Request("crl.reconciled", context, decide)


def _keep_revoked(issuer_id: str, entry: _Entry, context: Context) -> Request[str]:
    """What was done: `revoked`, `carried`, or nothing."""

    def decide(tx: Transaction) -> str:
        link = tx.get(SerialNumber, serial_number_key(entry.serial_number))
        certificate = tx.get(Certificate, certificate_key(link.certificate_id)) if link else None
        if certificate is None or certificate.issuer_id != issuer_id:
            carried = CarriedRevocation(
                issuer_id=issuer_id,
                serial_number=entry.serial_number,
                revoked_at=entry.revoked_at,
                reason=entry.reason,
            )
            known = tx.get(CarriedRevocation, carried.key)
            tx.put(carried)
            return "" if known == carried else "carried"
        after = _taken_away(certificate, entry)
        if after is certificate:
            return ""
        _tidy(tx, certificate, entry.reason)
        tx.put(replace(after, updated_at=tx.time))
        return "revoked"

    return Request("certificate.reconciled", context, decide)


def _taken_away(certificate: Certificate, entry: _Entry) -> Certificate:
    """The certificate at least as revoked as the entry says. Who put a hold is not known: it is lifted by hand."""
    held = entry.reason is RevocationReason.CERTIFICATE_HOLD
    if certificate.status is CertificateStatus.REVOKED or (held and certificate.status is CertificateStatus.HELD):
        return certificate
    return replace(
        certificate,
        status=CertificateStatus.HELD if held else CertificateStatus.REVOKED,
        revoked_at=entry.revoked_at,
        revocation_reason=entry.reason,
        revocation_source=RevocationSource.REQUEST,
    )


def _tidy(tx: Transaction, certificate: Certificate, reason: RevocationReason) -> None:
    """What a revocation entails: no pending reservation, and no further certificate for a key that leaked."""
    if certificate.status is CertificateStatus.PENDING:
        tx.delete(PendingCertificate, pending_certificate_key(certificate.id))
    if reason is RevocationReason.KEY_COMPROMISE:
        key = tx.get(CertifiedKey, certified_key_key(certificate.public_key_sha256))
        if key is not None:
            tx.put(replace(key, compromised=True))


def _number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _parsed(crl: bytes) -> x509.CertificateRevocationList:
    """Raises CrlNotOurs."""
    try:
        if crl.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_crl(crl)
        return x509.load_der_x509_crl(crl)
    except ValueError:
        raise CrlNotOurs("a file that holds no CRL") from None
