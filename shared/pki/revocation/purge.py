"""Erases the personal data of a user who has left: from the records, from the log, from the snapshots of the replica.

Each step can be repeated. Between the first and the last a row says that the purge is unfinished: one that died is gone
on with by purging again (docs/ledger.md).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from shared.context import REQUEST_BUDGET, Context, Deadline
from shared.directory.erasure import erased_certificate, erased_user, is_erased
from shared.directory.errors import UserNotFound
from shared.directory.ledger import Ledger, LogRow, Request
from shared.directory.log import PURGE
from shared.directory.partition import prefix_end
from shared.directory.records.certificate import (
    Certificate,
    PendingCertificate,
    RevocationReason,
    RevocationSource,
    UserCertificate,
    certificate_key,
    pending_certificate_key,
    user_certificates_prefix,
)
from shared.directory.records.purge import UnfinishedPurge, unfinished_purge_key
from shared.directory.records.user import EntraDeletion, User, user_key
from shared.directory.redaction import Copies, find_copies, redact
from shared.directory.replica.snapshots import SnapshotStore
from shared.directory.transaction import Transaction
from shared.errors import AppError
from shared.pki.revocation.departures import AT_ONCE
from shared.pki.revocation.ending import revoked

T = TypeVar("T")

_REASON, _SOURCE = RevocationReason.CESSATION_OF_OPERATION, RevocationSource.DIRECTORY
"""As for every user deleted for good; those whom settings exempt from that included."""

Progress = Callable[[str, int], None]
"""Called with what is being done, and how much of it was just done."""


class UserNotGone(AppError):
    """Entra ID still knows the user: the next synchronization would bring the data back."""

    status, code = 409, "user_not_gone"

    def __init__(self, user: User) -> None:
        in_bin = user.deletion is EntraDeletion.SOFT
        where = "in the recycle bin of Entra ID" if in_bin else "in Entra ID, which would bring the data back"
        super().__init__(
            f"The user {user.id} is still {where}. Delete the account there for good, synchronize, and purge then."
        )


@dataclass(frozen=True)
class PurgeOutlook:
    """What a purge would do.

    Attributes:
        certificates: of the user, in all; `live`: those that it would revoke.
        unfinished: the record is erased, but traces may be left.
    """

    user: User
    certificates: int
    live: int
    unfinished: bool


@dataclass(frozen=True)
class PurgeReport:
    """What a purge did; all zero where nothing was left to do.

    Attributes:
        certificates: records gone through, of which `revoked` had to be revoked.
        log_copies: copies of the data taken out of the log.
        snapshots: stored copies of the replica that were deleted.
        acted: operations in which the user is the one who acted. They stay: who did what is the audit.
    """

    user_id: int
    erased_at: datetime
    certificates: int = 0
    revoked: int = 0
    log_copies: int = 0
    snapshots: int = 0
    acted: int = 0


class UserPurge:
    """Every method raises UserNotFound, UserNotGone, StorageUnavailable, StorageRefused and MalformedRow."""

    def __init__(self, ledger: Ledger, snapshots: SnapshotStore) -> None:
        self._ledger = ledger
        self._snapshots = snapshots

    def outlook(self, user_id: int) -> PurgeOutlook:
        """Changes nothing."""
        user = _require_gone(self._ledger.get(User, user_key(user_id)), user_id)
        unfinished = self._ledger.get(UnfinishedPurge, unfinished_purge_key(user_id)) is not None
        certificates = self._ledger.get_many(Certificate, self._certificate_keys(user_id)).values()
        now = self._ledger.head().time
        return PurgeOutlook(user, len(certificates), sum(each.is_live(now) for each in certificates), unfinished)

    def run(self, user_id: int, context: Context, progress: Progress = lambda *_: None) -> PurgeReport:
        """Purges, or goes on with a purge that did not come to its end.

        Raises also: OutcomeUnknown, LedgerBusy.
        """
        user = self._erase_user(user_id, context)
        assert user.purged_at is not None
        if self._ledger.get(UnfinishedPurge, unfinished_purge_key(user_id)) is None:
            return PurgeReport(user_id, user.purged_at)
        certificates, revoked_now = self._erase_certificates(user, context, progress)
        copies = find_copies(self._log_rows(progress), user_id, user.object_id)
        withdrawn = self._name_withdrawn(copies, context)
        due = {**copies.purged, **{key: copies.others[key] for key in withdrawn}}
        redact(self._ledger.partition, due, lambda done: progress("Erasing from the log", done))
        snapshots = self._snapshots.drop_before(self._ledger.head().seq)
        self._finish(user_id, context)
        log_copies = sum(map(len, due.values()))
        return PurgeReport(user_id, user.purged_at, certificates, revoked_now, log_copies, snapshots, copies.acted)

    # --- The steps ---

    def _erase_user(self, user_id: int, context: Context) -> User:
        """The record comes first, with the note that more is to come. Returns what is left of it."""

        def decide(tx: Transaction) -> User:
            user = _require_gone(tx.get(User, user_key(user_id)), user_id)
            if user.purged_at is not None:
                return user
            erased = erased_user(user, tx.time)
            tx.put(erased)
            tx.put(UnfinishedPurge(user_id=user_id, started_at=tx.time))
            return erased

        reads = ((User, user_key(user_id)), (UnfinishedPurge, unfinished_purge_key(user_id)))
        return self._commit(Request(PURGE, context, decide, reads))

    def _erase_certificates(self, user: User, context: Context, progress: Progress) -> tuple[int, int]:
        """How many there are, and how many of them were revoked for it."""
        keys = self._certificate_keys(user.id)
        revoked_now = 0
        for chunk in _chunks(keys):
            revoked_now += self._commit(_erasing(chunk, user.object_id, context))
            progress("Erasing certificates", len(chunk))
        return len(keys), revoked_now

    def _log_rows(self, progress: Progress) -> Iterator[LogRow]:
        for row in self._ledger.log(0):
            progress("Reading the log", 1)
            yield row

    def _name_withdrawn(self, copies: Copies, context: Context) -> list[str]:
        """The keys of certificates that only the log remembers, because their reservations were withdrawn.

        They are named in the log as purged before it loses their data.
        """
        keys = [key for key in copies.others if key.startswith(f"{Certificate.KIND}|")]
        gone = sorted(set(keys) - self._ledger.get_many(Certificate, keys).keys())
        for chunk in _chunks(gone):
            self._commit(_naming(chunk, context))
        return gone

    def _finish(self, user_id: int, context: Context) -> None:
        key = unfinished_purge_key(user_id)

        def decide(tx: Transaction) -> None:
            tx.delete(UnfinishedPurge, key)

        self._commit(Request("user.purge_finished", context, decide, ((UnfinishedPurge, key),)))

    def _certificate_keys(self, user_id: int) -> list[str]:
        prefix = user_certificates_prefix(user_id)
        links = self._ledger.scan(UserCertificate, start=prefix, end=prefix_end(prefix))
        return [certificate_key(link.certificate_id) for link in links]

    def _commit(self, request: Request[T]) -> T:
        """Each step has a time of its own: a purge takes as long as the log is."""
        return self._ledger.commit(request, Deadline.after(REQUEST_BUDGET)).value


def _require_gone(user: User | None, user_id: int) -> User:
    """Raises UserNotFound, UserNotGone. Users who never were in Entra are gone when their operator says so."""
    if user is None:
        raise UserNotFound(user_id)
    if user.is_synchronized and user.deletion is not EntraDeletion.HARD:
        raise UserNotGone(user)
    return user


def _erasing(keys: Sequence[str], object_id: str | None, context: Context) -> Request[int]:
    """Erases the certificates, and revokes those that are live. How many were."""

    def decide(tx: Transaction) -> int:
        found = [certificate for key in keys if (certificate := tx.get(Certificate, key)) is not None]
        live = [certificate for certificate in found if certificate.is_live(tx.time)]
        for certificate in found:
            if not is_erased(certificate) or certificate in live:
                ended = revoked(certificate, tx, _REASON, _SOURCE) if certificate in live else certificate
                tx.put(erased_certificate(ended, object_id, tx.time))
                tx.delete(PendingCertificate, pending_certificate_key(certificate.id))
        return len(live)

    return Request(PURGE, context, decide, [(Certificate, key) for key in keys])


def _naming(keys: Sequence[str], context: Context) -> Request[None]:
    def decide(tx: Transaction) -> None:
        for key in keys:
            tx.note_absence(Certificate, key)

    return Request(PURGE, context, decide, [(Certificate, key) for key in keys])


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE))
