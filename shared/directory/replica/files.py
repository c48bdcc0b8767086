"""The replica's files in an instance's temp folder, shared by its worker processes.

A file is built under a name nobody opens, then linked to its final name, which holds its generation and is never used
again: SQLite removes side files by name, so a second life of a name would lose the first one's changes. Building and
throwing away happen under a lock file; reading and catching up do not.
"""

import contextlib
import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, LifoQueue

from shared.context import Deadline
from shared.directory.replica import schema
from shared.directory.replica.errors import ReplicaBuilding

IDLE_CONNECTIONS = 4
"""Kept for the next readers; each has a page cache of its own."""

_LOCK_POLL_SECONDS = 0.05
_SIDE_FILES = ("", "-wal", "-shm", "-journal")
_HEADER_BYTES = 100
_FREEZE_ATTEMPTS = 50


class FileRemoved(Exception):
    """Somebody else, a cleaner of temp folders perhaps, deleted a file that was being written."""


class ReplicaFolder:
    """The files of one tenant and format in a folder."""

    def __init__(self, folder: Path, tenant_id: str) -> None:
        self._folder = folder
        self._tenant = f"replica-{tenant_id}-"
        self._prefix = f"{self._tenant}{schema.FORMAT}-"

    def newest(self) -> Path | None:
        return max(self._folder.glob(f"{self._prefix}generation-*.sqlite3"), default=None)

    @contextlib.contextmanager
    def building(self, deadline: Deadline) -> Iterator[None]:
        """Holds the right to build and to throw away; freed by the system if the process dies.

        Raises: ReplicaBuilding when another process still builds at the deadline.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / f"{self._tenant}lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not _try_lock(descriptor):
                if deadline.expired:
                    raise ReplicaBuilding
                time.sleep(_LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def new_path(self) -> Path:
        """Where to build. Only under the lock."""
        return self._folder / f"{self._prefix}building-{_generation()}.sqlite3"

    def publish(self, built: Path) -> Path:
        """Gives a complete, closed file its final name. Only under the lock."""
        path = self._folder / f"{self._prefix}generation-{_generation()}.sqlite3"
        os.link(built, path)
        built.unlink()
        return path

    def discard(self, path: Path) -> None:
        """Removes one file. Only under the lock.

        Processes that have it open go on reading it until they look for it again.
        """
        for suffix in _SIDE_FILES:
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def discard_all(self, *, but: Path | None = None) -> None:
        """Removes every file of the tenant, of any format, complete or not, `but` that one. Only under the lock."""
        for path in self._folder.glob(f"{self._tenant}*.sqlite3*"):
            if but is None or not path.name.startswith(but.name):
                path.unlink(missing_ok=True)


class ReplicaFile:
    """One open generation: a pool of reading connections and one for writing. Safe for threads."""

    def __init__(self, path: Path) -> None:
        """Raises OSError or sqlite3.Error."""
        self.path = path
        self._identity = _identity(path)
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()
        self._closed = False
        self._writer = schema.connect(path)

    def exists(self) -> bool:
        """Whether the file still stands where it was opened; it may be deleted at any time."""
        return _identity(self.path) == self._identity

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection in a read transaction: everything read in it is of one log position."""
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = schema.connect(self.path)
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if self._closed or self._idle.qsize() >= IDLE_CONNECTIONS:
                connection.close()
            else:
                self._idle.put(connection)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The writing connection in a transaction that no other process shares; one thread at a time."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        finally:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[tuple[int, str]]:
        """Keeps the main file as it is and complete, for copying; gives the position (seq and hash) that it holds.

        With everything moved from the write-ahead log into the file and a reader that began after that, SQLite adds to
        the log only (https://www.sqlite.org/wal.html#checkpointing). Other processes read and write on meanwhile.

        Raises: ReplicaBuilding where readers leave no gap for that.
        """
        with contextlib.closing(schema.connect(self.path)) as connection:
            for _ in range(_FREEZE_ATTEMPTS):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                connection.execute("BEGIN")
                seq, chain_hash = connection.execute("SELECT seq, hash FROM position").fetchone()
                if self.path.with_name(f"{self.path.name}-wal").stat().st_size == 0:
                    yield seq, chain_hash
                    return
                connection.execute("ROLLBACK")
        raise ReplicaBuilding

    def close(self) -> None:
        """Connections in use close when they are given back."""
        self._closed = True
        self._writer.close()
        with contextlib.suppress(Empty):
            while True:
                self._idle.get_nowait().close()


@contextlib.contextmanager
def noticing_removal(path: Path) -> Iterator[None]:
    """Tells what fails because the file is gone, as FileRemoved, from what fails for other reasons."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileRemoved from error
    except sqlite3.Error as error:
        if path.exists():
            raise
        raise FileRemoved from error


def is_whole(path: Path) -> bool:
    """Whether the file is as long as its header says (https://www.sqlite.org/fileformat2.html#the_database_header)."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        size = os.fstat(file.fileno()).st_size
    if len(header) < _HEADER_BYTES:
        return False
    page_size = int.from_bytes(header[16:18], "big")
    return size >= (65536 if page_size == 1 else page_size) * int.from_bytes(header[28:32], "big")


def _generation() -> str:
    return f"{time.time_ns():020d}-{secrets.token_hex(4)}"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
