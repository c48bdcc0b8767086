"""Sees to it that the instance has a replica file: opens the one there is, fetches a snapshot, or builds one."""

import contextlib
import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path

from shared.context import Deadline
from shared.directory.errors import StorageRefused, StorageUnavailable
from shared.directory.head import Head
from shared.directory.replica import schema, source
from shared.directory.replica.building import build
from shared.directory.replica.errors import explained
from shared.directory.replica.files import ReplicaFile, ReplicaFolder, is_whole
from shared.directory.replica.following import HistoryChanged, follow
from shared.directory.replica.snapshots import SnapshotStore
from shared.directory.replica.source import Source, row_count
from shared.errors import AppError

BUILD_BUDGET = timedelta(minutes=30)
RETRY_AFTER = timedelta(seconds=30)
"""How long a failed attempt in the background is left alone."""

CHECKED_BYTES = 64 * 1024 * 1024
"""Up to this size, a file that is found is checked through (some 100 ms) before it is used."""


class FileKeeper:
    """The files of one tenant on this instance. `open_or_build` and `remove` are for one thread at a time."""

    def __init__(self, feed: Source, folder: Path, tenant_id: str, snapshots: SnapshotStore | None) -> None:
        self._source = feed
        self._folder = ReplicaFolder(folder, tenant_id)
        self._tenant_id = tenant_id
        self._snapshots = snapshots
        self._builder: threading.Thread | None = None
        self._failure: AppError | None = None
        self._failed_at = float("-inf")

    def open_or_build(self, head: Head, deadline: Deadline) -> ReplicaFile | None:
        """The file, as far behind the head as it may be; None while it is being built in the background.

        Raises: ReplicaUnavailable, ReplicaBuilding (another process still builds), StorageUnavailable.
        """
        file = self._open_newest()
        if file is not None:
            return file
        if row_count(head) <= source.LARGE:
            with self._folder.building(deadline):
                return self._open_newest() or ReplicaFile(self._build(head))
        self._start_building()
        return None

    def wait(self, deadline: Deadline) -> None:
        """Until the background has come to an end, or the deadline."""
        if self._builder is not None:
            self._builder.join(deadline.remaining)

    def remove(self, file: ReplicaFile, deadline: Deadline) -> None:
        """Deletes a file that is of no use, unless somebody has done so."""
        with self._folder.building(deadline):
            if file.exists():
                self._folder.discard(file.path)

    def _start_building(self) -> None:
        """Raises what the last attempt raised, for a while."""
        if self._builder is not None and self._builder.is_alive():
            return
        if self._failure is not None and time.monotonic() - self._failed_at < RETRY_AFTER.total_seconds():
            raise self._failure
        self._failure = None
        self._builder = threading.Thread(target=self._build_in_background, name="replica-builder", daemon=True)
        self._builder.start()

    def _build_in_background(self) -> None:
        deadline = Deadline.after(BUILD_BUDGET)
        try:
            with explained(), self._folder.building(deadline):
                file = self._open_newest()
                if file is None:
                    file = self._fetched() or ReplicaFile(self._build(self._source.head()))
                with contextlib.closing(file):
                    follow(file, self._source, self._source.head(), deadline)
        except (AppError, HistoryChanged) as error:
            self._failed_at = time.monotonic()
            self._failure = error if isinstance(error, AppError) else None

    def _open_newest(self) -> ReplicaFile | None:
        """None where there is no file, or only one that is damaged, foreign or of another format."""
        path = self._folder.newest()
        return None if path is None else self._opened(path)

    def _opened(self, path: Path) -> ReplicaFile | None:
        with contextlib.suppress(OSError, sqlite3.DatabaseError):
            if is_whole(path):
                file = ReplicaFile(path)
                with file.reading() as connection:
                    usable = schema.is_ours(connection, self._tenant_id)
                    if path.stat().st_size <= CHECKED_BYTES:
                        usable = usable and connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
                if usable:
                    return file
                file.close()
        return None

    def _build(self, head: Head) -> Path:
        """Only under the lock."""
        self._folder.discard_all()
        path = self._folder.new_path()
        try:
            build(path, self._source, self._tenant_id, head)
            return self._folder.publish(path)
        except BaseException:
            self._folder.discard(path)  # a full disk must not stay full of half a file
            raise

    def _fetched(self) -> ReplicaFile | None:
        """The last snapshot, if there is one that can be used; a missing or damaged one is no reason not to build."""
        if self._snapshots is None:
            return None
        self._folder.discard_all()
        path = self._folder.new_path()
        with contextlib.suppress(StorageUnavailable, StorageRefused):
            if self._snapshots.fetch(path):
                file = self._opened(self._folder.publish(path))
                if file is not None:
                    return file
        self._folder.discard(path)
        return None
