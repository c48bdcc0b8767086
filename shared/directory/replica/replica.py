"""The read model of the directory: what Table Storage cannot list, search, order or count, from a local SQLite file.

It follows the ledger's log and holds nothing of its own: it may be deleted at any time and is built again.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from shared.context import REQUEST_BUDGET, Clock, Deadline, system_clock
from shared.directory.head import Head
from shared.directory.replica import certificate_listing, counting, schema
from shared.directory.replica.building import build
from shared.directory.replica.errors import ReplicaBuilding
from shared.directory.replica.files import ReplicaFile, ReplicaFolder, is_whole
from shared.directory.replica.following import HistoryChanged, follow
from shared.directory.replica.queries import (
    CertificateQuery,
    CertificateSummary,
    Page,
    RevokedCertificate,
    Statistics,
    UserQuery,
    UserSummary,
)
from shared.directory.replica.source import Source
from shared.directory.replica.user_listing import UserLister

T = TypeVar("T")

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN}


class Replica:
    """Reads of one tenant's directory. Safe for threads; processes of an instance share the folder.

    Call `catch_up` before reading what must be no older than the call.
    """

    def __init__(self, ledger: Source, folder: Path, tenant_id: str, clock: Clock = system_clock) -> None:
        self._ledger = ledger
        self._folder = ReplicaFolder(folder, tenant_id)
        self._tenant_id = tenant_id
        self._clock = clock
        self._users = UserLister()
        self._turn = threading.Lock()
        self._file: ReplicaFile | None = None
        self._head_asked_at = float("-inf")

    def catch_up(self, deadline: Deadline, *, max_age: timedelta = timedelta(0)) -> None:
        """Afterwards, reads see everything committed before this call, or before `max_age` ago.

        Costs one point read when nothing changed; threads that wait for each other share it.

        Raises: ReplicaBuilding, ReplicaUnavailable, StorageUnavailable.
        """
        needed_since = time.monotonic() - max_age.total_seconds()
        if not self._turn.acquire(timeout=deadline.remaining):
            raise ReplicaBuilding
        try:
            if self._head_asked_at >= needed_since and self._file and self._file.exists():
                return
            asked_at = time.monotonic()
            self._follow(self._ledger.head(), deadline)
            self._head_asked_at = asked_at
        finally:
            self._turn.release()

    def users(self, query: UserQuery, *, round_started_at: datetime | None = None) -> Page[UserSummary]:
        """A page of the users that are synchronized with Entra.

        Args:
            round_started_at: when the last complete tenant-sync round started. It counts as a sync of every user, so
                a user's effective last sync is the later of this and its own.
        """
        return self._read(lambda connection: self._users.page(connection, query, round_started_at))

    def certificates(self, query: CertificateQuery) -> Page[CertificateSummary]:
        return self._read(lambda connection: certificate_listing.certificate_page(connection, query, self._clock()))

    def active_certificates(self, user_ids: Sequence[int]) -> Mapping[int, tuple[CertificateSummary, ...]]:
        """The active certificates of each user that has any, by id, in one query."""
        return self._read(
            lambda connection: certificate_listing.active_certificates(connection, user_ids, self._clock())
        )

    def statistics(self, now: datetime, *, round_started_at: datetime | None = None) -> Statistics:
        return self._read(lambda connection: counting.statistics(connection, now, round_started_at))

    @contextlib.contextmanager
    def revoked_certificates(self, issuer_id: str) -> Iterator[tuple[int, Iterator[RevokedCertificate]]]:
        """The log position, and what is revoked or on hold of an issuer as of it, by serial number; streamed."""
        with self._opened().reading() as connection:
            (seq,) = connection.execute("SELECT seq FROM position").fetchone()
            yield seq, certificate_listing.revoked_certificates(connection, issuer_id)

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs a query; if the file turns out to be damaged, builds another and runs it on that."""
        try:
            with self._opened().reading() as connection:
                return work(connection)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            deadline = Deadline.after(REQUEST_BUDGET)
            self._throw_away(deadline)
            self.catch_up(deadline)
            with self._opened().reading() as connection:
                return work(connection)

    def _opened(self) -> ReplicaFile:
        if self._file is None:
            raise ReplicaBuilding
        return self._file

    def _follow(self, head: Head, deadline: Deadline) -> None:
        try:
            follow(self._open_or_build(head, deadline), self._ledger, head, deadline)
        except (HistoryChanged, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.DatabaseError) and not _is_damage(error):
                raise
            self._throw_away(deadline)
            head = self._ledger.head()
            follow(self._open_or_build(head, deadline), self._ledger, head, deadline)

    def _open_or_build(self, head: Head, deadline: Deadline) -> ReplicaFile:
        if self._file and self._file.exists():
            return self._file
        self.close()
        self._file = self._open_newest()
        if self._file is None:
            with self._folder.building(deadline):
                self._file = self._open_newest()  # another process may have built it meanwhile
                if self._file is None:
                    self._folder.discard_all()
                    self._file = ReplicaFile(self._build(head))
        return self._file

    def _open_newest(self) -> ReplicaFile | None:
        """None where there is no file, or only one that is damaged, foreign or of another format."""
        path = self._folder.newest()
        if path is None:
            return None
        with contextlib.suppress(OSError, sqlite3.DatabaseError):
            if is_whole(path):
                file = ReplicaFile(path)
                with file.reading() as connection:
                    usable = schema.is_ours(connection, self._tenant_id)
                if usable:
                    return file
                file.close()
        return None

    def _build(self, head: Head) -> Path:
        path = self._folder.new_path()
        build(path, self._ledger, self._tenant_id, head)
        return self._folder.publish(path)

    def _throw_away(self, deadline: Deadline) -> None:
        """Removes the open file, unless another process has replaced it already."""
        file, self._file = self._file, None
        with self._folder.building(deadline):
            if file and file.exists():
                file.path.unlink()
        if file:
            file.close()


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
