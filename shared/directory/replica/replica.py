"""The read model of the directory: what Table Storage cannot list, search, order or count, from a local SQLite file.

It follows the ledger's log and holds nothing of its own: it may be deleted at any time and is built again.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from shared.context import REQUEST_BUDGET, Clock, Deadline, system_clock
from shared.directory.head import Head
from shared.directory.records.user import Group, group_key
from shared.directory.replica import certificate_listing, counting, expiring, group_names, table_reading
from shared.directory.replica.errors import ReplicaBuilding, explained, is_damage
from shared.directory.replica.files import ReplicaFile
from shared.directory.replica.following import HistoryChanged, follow, has_remnants, position
from shared.directory.replica.keeping import FileKeeper
from shared.directory.replica.queries import (
    CertificateQuery,
    CertificateSummary,
    DueNotice,
    ExpiringCertificates,
    Page,
    RevokedCertificate,
    Statistics,
    StoredStatus,
    UserQuery,
    UserSummary,
)
from shared.directory.replica.snapshots import Snapshot, SnapshotStore
from shared.directory.replica.source import Source
from shared.directory.replica.user_listing import UserLister
from shared.telemetry import names
from shared.telemetry.recorder import recorder

log = logging.getLogger("entra_pki.replica")

T = TypeVar("T")


class Replica:
    """Reads of one tenant's directory. Safe for threads; processes of an instance share the folder.

    Call `catch_up` before reading what must be no older than the call. While the first file of a large directory is
    still being built, users in their default order and the certificates of given users come from the table; everything
    else raises ReplicaBuilding.
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        tenant_id: str,
        clock: Clock = system_clock,
        *,
        snapshots: SnapshotStore | None = None,
    ) -> None:
        """`folder` is for replicas only, and made when it is needed."""
        self._source = source
        self._clock = clock
        self._snapshots = snapshots
        self._keeper = FileKeeper(source, folder, tenant_id, snapshots)
        self._users = UserLister()
        self._turn = threading.Lock()
        self._file: ReplicaFile | None = None
        self._head: Head | None = None
        self._head_asked_at = float("-inf")

    def catch_up(self, deadline: Deadline, *, max_age: timedelta = timedelta(0)) -> None:
        """Afterwards, reads see everything committed before this call, or before `max_age` ago.

        Costs one point read when nothing changed; threads that wait for each other share it.

        Raises: ReplicaBuilding where the deadline comes first (what was done is kept), ReplicaUnavailable,
            StorageUnavailable.
        """
        needed_since = time.monotonic() - max_age.total_seconds()
        if not self._turn.acquire(timeout=deadline.remaining):
            raise ReplicaBuilding
        try:
            if self._head_asked_at >= needed_since and (self._file is None or self._file.exists()):
                return
            asked_at = time.monotonic()
            with explained(), recorder().timed("replica.catch_up", names.REPLICA_CATCH_UP):
                self._head = self._follow(deadline)
            self._head_asked_at = asked_at
        except HistoryChanged as error:  # once more while the file was being replaced
            raise ReplicaBuilding from error
        finally:
            self._turn.release()

    def prepare(self, deadline: Deadline) -> None:
        """Catches up, and waits for the file to be built if there is none. For timers and operators.

        Raises: as `catch_up`.
        """
        self.catch_up(deadline)
        while self._file is None:
            self._keeper.wait(deadline)
            if deadline.expired:
                raise ReplicaBuilding
            self.catch_up(deadline)

    def users(self, query: UserQuery, *, round_started_at: datetime | None = None) -> Page[UserSummary]:
        """A page of the users that are synchronized with Entra.

        Args:
            round_started_at: when the last complete tenant-sync round started. It counts as a sync of every user, so
                a user's effective last sync is the later of this and its own.
        """
        return self._read(
            lambda connection: self._users.page(connection, query, round_started_at),
            lambda head: table_reading.user_page(self._source, head, query, round_started_at),
        )

    def certificates(self, query: CertificateQuery) -> Page[CertificateSummary]:
        now = self._clock()
        return self._read(
            lambda connection: certificate_listing.certificate_page(connection, query, now),
            lambda _: table_reading.certificate_page(self._source, query, now),
        )

    def expiring(self, query: ExpiringCertificates) -> Page[CertificateSummary]:
        """A page of the active certificates that end soon and have no successor. Raises ReplicaBuilding."""
        now = self._clock()
        return self._read(lambda connection: expiring.expiring_page(connection, query, now))

    def due_notices(self, days: Sequence[int], at_most: int) -> Sequence[DueNotice]:
        """Whose expiry notices are due, for so many `days` before the end. Raises ReplicaBuilding."""
        now = self._clock()
        return self._read(lambda connection: expiring.due_notices(connection, days, now, at_most))

    def active_certificates(self, user_ids: Sequence[int]) -> Mapping[int, tuple[CertificateSummary, ...]]:
        """The active certificates of each user that has any, by id, in one query."""
        now = self._clock()
        return self._read(
            lambda connection: certificate_listing.active_certificates(connection, user_ids, now),
            lambda _: table_reading.active_certificates(self._source, user_ids, now),
        )

    def stored_statuses(self, issuer_id: str, serial_numbers: Sequence[str]) -> Sequence[StoredStatus | None]:
        """Of each serial number (lower-case hex) of an issuer; None where it is not known. Raises ReplicaBuilding."""
        return self._read(lambda connection: certificate_listing.stored_statuses(connection, issuer_id, serial_numbers))

    def groups(self, object_ids: Sequence[str]) -> tuple[Group, ...]:
        """Those of the groups whose names are known, in any order."""
        return self._read(
            lambda connection: group_names.groups(connection, object_ids),
            lambda _: tuple(self._source.get_many(Group, [group_key(found) for found in object_ids]).values()),
        )

    def statistics(self, now: datetime, *, round_started_at: datetime | None = None) -> Statistics:
        return self._read(lambda connection: counting.statistics(connection, now, round_started_at))

    @contextlib.contextmanager
    def revoked_certificates(self, issuer_id: str) -> Iterator[tuple[int, Iterator[RevokedCertificate]]]:
        """The log position, and what is revoked or on hold of an issuer as of it, by serial number; streamed."""
        file = self._file
        if file is None:
            raise ReplicaBuilding
        try:
            with file.reading() as connection:
                seq, _ = position(connection)
                yield seq, certificate_listing.revoked_certificates(connection, issuer_id)
        except sqlite3.DatabaseError as error:
            if not _is_lost(file, error):
                raise
            self._replace(file)
            raise ReplicaBuilding from error

    def publish_snapshot(self, deadline: Deadline) -> Snapshot | None:
        """For the timer: stores a snapshot for young instances if the directory is large and the last one old.

        None: not needed, or not possible until the file has got rid of purged data. Raises: as `catch_up`, and what
            `SnapshotStore` raises.
        """
        if self._snapshots is None:
            return None
        self.prepare(deadline)
        file = self._file
        if file is None or self._head is None or not self._snapshots.is_due(self._head) or self._has_remnants(file):
            return None

        def is_clean() -> bool:
            """Whether nobody was purged since the file was made, up to now: a purge deletes only what it finds."""
            self.catch_up(deadline)
            return self._file is file and file.exists() and not self._has_remnants(file)

        with explained():
            return self._snapshots.publish(file, is_clean)

    def close(self) -> None:
        with self._turn:
            self._leave()

    def _read(self, work: Callable[[sqlite3.Connection], T], from_table: Callable[[Head], T] | None = None) -> T:
        """Runs a query; if the file turns out to be damaged, builds another and runs it on that."""
        file = self._file
        if file is not None:
            try:
                with file.reading() as connection:
                    return work(connection)
            except sqlite3.DatabaseError as error:
                if not _is_lost(file, error):
                    raise
                self._replace(file)
            file = self._file
        if file is not None:
            with file.reading() as connection:
                return work(connection)
        if from_table is None or self._head is None:
            raise ReplicaBuilding
        return from_table(self._head)

    def _replace(self, damaged: ReplicaFile) -> None:
        """Gets rid of a file that turned out to be damaged, and catches up with another."""
        log.warning("The replica is damaged and thrown away: %s", damaged.path.name)
        deadline = Deadline.after(REQUEST_BUDGET)
        with self._turn:
            self._throw_away(damaged, deadline)
            self._head_asked_at = float("-inf")
        self.catch_up(deadline)

    def _follow(self, deadline: Deadline) -> Head:
        head = self._source.head()
        try:
            self._follow_to(head, deadline)
        except (HistoryChanged, sqlite3.DatabaseError) as error:
            if self._file is None or (isinstance(error, sqlite3.DatabaseError) and not _is_lost(self._file, error)):
                raise
            log.warning("The replica is thrown away: %s", error or type(error).__name__)
            self._throw_away(self._file, deadline)
            head = self._source.head()
            self._follow_to(head, deadline)
        return head

    def _follow_to(self, head: Head, deadline: Deadline) -> None:
        if self._file is None or not self._file.exists():
            self._leave()
            self._file = self._keeper.open_or_build(head, deadline)
            self._users = UserLister()
        if self._file is not None:
            follow(self._file, self._source, head, deadline)
            if self._has_remnants(self._file):
                self._keeper.replace(self._file)

    def _has_remnants(self, file: ReplicaFile) -> bool:
        with file.reading() as connection:
            return has_remnants(connection)

    def _throw_away(self, file: ReplicaFile, deadline: Deadline) -> None:
        self._keeper.remove(file, deadline)
        if self._file is file:
            self._leave()

    def _leave(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _is_lost(file: ReplicaFile, error: sqlite3.DatabaseError) -> bool:
    """Whether the file is damaged or gone, so that another one helps."""
    return is_damage(error) or not file.exists()
