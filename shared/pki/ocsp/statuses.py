"""What the directory says of serial numbers: from the replica if there is one, else from the table, row by row."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.context import Deadline
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    RevocationBacklog,
    RevocationReason,
    SerialNumber,
    certificate_key,
    serial_number_key,
)
from shared.directory.records.crl import CarriedRevocation, carried_key
from shared.directory.records.user import User, user_key
from shared.directory.replica.errors import ReplicaBuilding, ReplicaUnavailable
from shared.directory.replica.replica import Replica
from shared.pki.crl.contents import CrlReader
from shared.pki.ocsp.codec import CertStatus, Good, Revoked, Unknown

MAX_AGE = timedelta(seconds=10)
"""How old an answer may be, before it is signed."""
REPLICA_WAIT = timedelta(milliseconds=500)
_UNKNOWN = Unknown()
_GOOD = Good()


@dataclass(frozen=True)
class _Exceptions:
    """What the replica does not tell: users whose records are not where they belong yet, and carried revocations."""

    backlog: frozenset[int]
    carried: Mapping[str, CarriedRevocation]
    fresh_until: float


class OcspStatuses:
    """Looks serial numbers up. Safe to share between threads.

    However many serial numbers are made up, they cost the table nothing while there is a replica.
    """

    def __init__(self, ledger: Ledger, replica: Replica, reader: CrlReader, *, max_age: timedelta = MAX_AGE) -> None:
        self._ledger = ledger
        self._replica = replica
        self._reader = reader
        self._max_age = max_age
        self._exceptions: _Exceptions | None = None
        self._replica_missing_until = 0.0
        self._lock = threading.Lock()

    def of(self, issuer_id: str, serial_numbers: Sequence[str], deadline: Deadline) -> list[CertStatus]:
        """The status of each (lower-case hex, an even number of digits). Raises StorageUnavailable."""
        exceptions = self._current_exceptions()
        if self._replica_is_there(deadline):
            try:
                return self._from_replica(issuer_id, serial_numbers, exceptions)
            except (ReplicaBuilding, ReplicaUnavailable):
                self._replica_missing_until = time.monotonic() + self._max_age.total_seconds()
        return self._from_ledger(issuer_id, serial_numbers, exceptions)

    def _replica_is_there(self, deadline: Deadline) -> bool:
        if time.monotonic() < self._replica_missing_until:
            return False
        wait = timedelta(seconds=min(REPLICA_WAIT.total_seconds(), deadline.remaining))
        try:
            self._replica.catch_up(Deadline.after(wait), max_age=self._max_age)
        except (ReplicaBuilding, ReplicaUnavailable):
            self._replica_missing_until = time.monotonic() + self._max_age.total_seconds()
            return False
        return True

    def _from_replica(self, issuer_id: str, serial_numbers: Sequence[str], exceptions: _Exceptions) -> list[CertStatus]:
        statuses: list[CertStatus] = []
        found = self._replica.stored_statuses(issuer_id, serial_numbers)
        for serial_number, stored in zip(serial_numbers, found, strict=True):
            if stored is None:
                statuses.append(_carried(exceptions, issuer_id, serial_number))
            elif stored.user_id in exceptions.backlog:
                statuses += self._from_ledger(issuer_id, [serial_number], exceptions)
            else:
                statuses.append(_status(stored.status, stored.since, stored.reason))
        return statuses

    def _from_ledger(self, issuer_id: str, serial_numbers: Sequence[str], exceptions: _Exceptions) -> list[CertStatus]:
        links = self._ledger.get_many(SerialNumber, [serial_number_key(each) for each in set(serial_numbers)])
        keys = {link.serial_number: certificate_key(link.certificate_id) for link in links.values()}
        certificates = self._ledger.get_many(Certificate, list(keys.values())) if keys else {}
        return [
            self._of_record(certificates.get(keys.get(each, "")), issuer_id, each, exceptions)
            for each in serial_numbers
        ]

    def _of_record(
        self, certificate: Certificate | None, issuer_id: str, serial_number: str, exceptions: _Exceptions
    ) -> CertStatus:
        if certificate is None or certificate.issuer_id != issuer_id:
            return _carried(exceptions, issuer_id, serial_number)
        moment = certificate.revoked_at or certificate.updated_at
        if certificate.user_id in exceptions.backlog:
            user = self._ledger.get(User, user_key(certificate.user_id or 0))
            if user is not None:
                moment = certificate.revoked_at or user.updated_at
                (certificate,) = self._reader.of_backlog([certificate], user)
        return _status(certificate.status, moment, certificate.revocation_reason)

    def _current_exceptions(self) -> _Exceptions:
        current = self._exceptions
        if current is not None and time.monotonic() < current.fresh_until:
            return current
        with self._lock:
            if self._exceptions is None or time.monotonic() >= self._exceptions.fresh_until:
                self._exceptions = _Exceptions(
                    backlog=frozenset(row.user_id for row in self._ledger.scan(RevocationBacklog)),
                    carried={row.key: row for row in self._ledger.scan(CarriedRevocation)},
                    fresh_until=time.monotonic() + self._max_age.total_seconds(),
                )
            return self._exceptions


def _carried(exceptions: _Exceptions, issuer_id: str, serial_number: str) -> CertStatus:
    row = exceptions.carried.get(carried_key(issuer_id, serial_number))
    return _UNKNOWN if row is None else Revoked(row.revoked_at, row.reason)


def _status(status: CertificateStatus, moment: datetime, reason: RevocationReason | None) -> CertStatus:
    match status:
        case CertificateStatus.ISSUED:
            return _GOOD
        case CertificateStatus.PENDING:
            return _UNKNOWN
        case CertificateStatus.HELD:
            return Revoked(moment, RevocationReason.CERTIFICATE_HOLD)
        case CertificateStatus.REVOKED:
            return Revoked(moment, reason or RevocationReason.UNSPECIFIED)
