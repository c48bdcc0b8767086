"""Sees to it that the instance has a replica file: opens the one there is, fetches a snapshot, or builds one."""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from shared.context import Deadline
from shared.directory.errors import StorageRefused, StorageUnavailable
from shared.directory.head import Head
from shared.directory.replica import schema, source
from shared.directory.replica.building import build, copy
from shared.directory.replica.errors import ReplicaBuilding, ReplicaUnavailable, explained
from shared.directory.replica.files import FileRemoved, ReplicaFile, ReplicaFolder, is_whole, noticing_removal
from shared.directory.replica.following import HistoryChanged, follow
from shared.directory.replica.snapshots import SnapshotStore
from shared.directory.replica.source import Source, row_count
from shared.errors import AppError

log = logging.getLogger("entra_pki.replica")

BUILD_BUDGET = timedelta(minutes=30)
CANNOT_BUILD = "The search index of this instance could not be built; the log of the function app says why."
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
                return self._open_newest() or self._built(head)
        self._start_building()
        return None

    def wait(self, deadline: Deadline) -> None:
        """Until the background has come to an end, or the deadline."""
        if self._builder is not None:
            self._builder.join(deadline.remaining)

    def replace(self, file: ReplicaFile) -> None:
        """Begins to copy a file that is to vanish to a new one, in the background; until then it may be used."""
        if self._is_at_work() or time.monotonic() - self._failed_at < RETRY_AFTER.total_seconds():
            return
        self._start(self._replace_in_background, file.path)

    def remove(self, file: ReplicaFile, deadline: Deadline) -> None:
        """Deletes a file that is of no use, unless somebody has done so."""
        with self._folder.building(deadline):
            if file.exists():
                self._folder.discard(file.path)

    def _start_building(self) -> None:
        """Raises what the last attempt raised, for a while."""
        if self._is_at_work():
            return
        if self._failure is not None and time.monotonic() - self._failed_at < RETRY_AFTER.total_seconds():
            raise self._failure
        self._start(self._build_in_background)

    def _is_at_work(self) -> bool:
        return self._builder is not None and self._builder.is_alive()

    def _start(self, work: Callable[..., None], *arguments: Path) -> None:
        self._failure = None
        self._builder = threading.Thread(target=work, args=arguments, name="replica-builder", daemon=True)
        self._builder.start()

    def _build_in_background(self) -> None:
        deadline = Deadline.after(BUILD_BUDGET)
        try:
            with explained(), self._folder.building(deadline):
                for find in (self._open_newest, self._fetched, self._built):
                    if self._brought_up_to_date(find(), deadline):
                        return
        except Exception as error:
            log.exception("The replica could not be built")
            self._failed_at = time.monotonic()
            self._failure = error if isinstance(error, AppError) else ReplicaUnavailable(CANNOT_BUILD)

    def _replace_in_background(self, path: Path) -> None:
        try:
            with explained(), self._folder.building(Deadline.after(BUILD_BUDGET)):
                if self._folder.newest() == path:
                    self._copy(path)
        except Exception:
            log.exception("The replica could not be copied")
            self._failed_at = time.monotonic()

    def _copy(self, path: Path) -> None:
        """Only under the lock. Where there is no room for two, the file goes, and whoever reads next builds another."""
        self._folder.discard_all(but=path)
        successor = self._folder.new_path()
        try:
            copy(path, successor, self._tenant_id)
            self._folder.publish(successor)
        finally:
            self._folder.discard(successor)
            self._folder.discard(path)

    def _brought_up_to_date(self, file: ReplicaFile | None, deadline: Deadline) -> bool:
        """Whether there is a file and it follows this ledger; one that follows another history is removed."""
        if file is None:
            return False
        with contextlib.closing(file):
            try:
                follow(file, self._source, self._source.head(), deadline)
            except HistoryChanged:
                self._folder.discard(file.path)
                return False
        return True

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

    def _built(self, head: Head | None = None) -> ReplicaFile:
        """Only under the lock. Begins again, once, if somebody empties the temp folder meanwhile."""
        try:
            return self._build(head)
        except FileRemoved:
            log.warning("The replica was deleted while it was being built; it is built again")
        try:
            return self._build(head)
        except FileRemoved as error:
            raise ReplicaBuilding from error

    def _build(self, head: Head | None) -> ReplicaFile:
        self._folder.discard_all()
        path = self._folder.new_path()
        started = time.monotonic()
        try:
            with noticing_removal(path):
                build(path, self._source, self._tenant_id, head or self._source.head())
                published = self._folder.publish(path)
        finally:
            self._folder.discard(path)  # a full disk must not stay full of half a file
        with noticing_removal(published):
            size, seconds = published.stat().st_size / 1e6, time.monotonic() - started
            log.info("The replica is built from the tables: %.0f MB in %.1f s", size, seconds)
            return ReplicaFile(published)

    def _fetched(self) -> ReplicaFile | None:
        """The last snapshot, if there is one that can be used; a missing or damaged one is no reason not to build."""
        if self._snapshots is None:
            return None
        self._folder.discard_all()
        path = self._folder.new_path()
        started = time.monotonic()
        try:
            if not self._snapshots.fetch(path):
                return None
            file = self._opened(self._folder.publish(path))
        except (StorageUnavailable, StorageRefused) as error:
            log.warning("The replica's snapshot cannot be had: %s", error.message)
            return None
        finally:
            self._folder.discard(path)
        if file is not None:
            log.info("The replica is fetched from a snapshot in %.1f s", time.monotonic() - started)
        return file
