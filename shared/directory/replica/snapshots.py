"""Copies of a replica file in Blob Storage, so that a young instance of a large directory need not build its own.

A snapshot is a blob under a name that is used once; a state row points to the newest, with its log position.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.context import Clock, system_clock
from shared.directory.blobs import BlobStore
from shared.directory.errors import StateChanged
from shared.directory.head import Head
from shared.directory.replica import schema, source
from shared.directory.replica.files import ReplicaFile
from shared.directory.replica.source import row_count
from shared.directory.state import State, StateStore

MOST_LOG_ROWS = 5_000
"""A snapshot this far behind is replaced: replaying more would take longer than 10 s."""

OLDEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a snapshot is, of which log position, and what it is made of."""

    name: str
    seq: int
    hash: str
    sha256: str
    size: int
    made_at: str
    """ISO 8601."""


class SnapshotStore:
    """The snapshots of one tenant, of this version's format. Raises StorageUnavailable and StorageRefused all over."""

    def __init__(self, blobs: BlobStore, state: StateStore, tenant_id: str, clock: Clock = system_clock) -> None:
        self._blobs = blobs
        self._state = state
        self._clock = clock
        self._folders = f"replica/{tenant_id}/"
        self._folder = f"{self._folders}{schema.FORMAT}/"
        self._pointer = f"replica-snapshot-{schema.FORMAT}"

    def latest(self) -> Snapshot | None:
        state = self._state.get(self._pointer)
        return None if state is None else _decoded(state)

    def is_due(self, head: Head) -> bool:
        """Whether the directory is large and its last snapshot so far behind that a new one is worth the transfer."""
        if row_count(head) <= source.LARGE:
            return False
        latest = self.latest()
        if latest is None or latest.seq > head.seq:
            return True
        age = self._clock() - datetime.fromisoformat(latest.made_at)
        return head.seq - latest.seq > MOST_LOG_ROWS or (head.seq > latest.seq and age > OLDEST)

    def fetch(self, path: Path) -> bool:
        """Downloads the newest snapshot to a new file; False where there is none.

        Raises: BlobDamaged; OSError.
        """
        latest = self.latest()
        if latest is None:
            return False
        blob = self._blobs.download(latest.name, path)
        return blob is not None and blob.sha256 == latest.sha256

    def publish(self, file: ReplicaFile, may_stay: Callable[[], bool] = lambda: True) -> Snapshot | None:
        """Uploads the file as of now and points to it, unless somebody points to a newer one meanwhile.

        `may_stay` is asked after the upload. None: it said no, and the upload is deleted.
        """
        with file.frozen() as (seq, chain_hash):
            name = f"{self._folder}{seq:016d}-{secrets.token_hex(4)}.sqlite3"
            blob = self._blobs.put_new(name, file.path)
        if not may_stay():
            self._blobs.delete(name)
            return None
        made_at = self._clock().astimezone(UTC).isoformat()
        snapshot = Snapshot(name, seq, chain_hash, blob.sha256, blob.size, made_at)
        replaced = self._point_to(snapshot)
        self._prune({snapshot.name, *([replaced.name] if replaced else [])})
        return snapshot

    def drop_before(self, seq: int) -> int:
        """Deletes the snapshots of earlier log positions, whatever their format. How many there were."""
        latest = self.latest()
        if latest is not None and latest.seq < seq:
            self._state.delete(self._pointer)
        old = [blob.name for blob in self._blobs.list(self._folders) if _position(blob.name) < seq]
        for name in old:
            self._blobs.delete(name)
        return len(old)

    def _point_to(self, snapshot: Snapshot) -> Snapshot | None:
        """Returns what was pointed to before."""
        state = self._state.get(self._pointer)
        try:
            self._state.put(self._pointer, json.dumps(asdict(snapshot)).encode(), etag=state.etag if state else "")
        except StateChanged:  # another instance was faster; its snapshot is as good
            return self.latest()
        return None if state is None else _decoded(state)

    def _prune(self, kept: set[str]) -> None:
        """Deletes all but the newest snapshot and the one before it, which may still be being read."""
        for blob in list(self._blobs.list(self._folder)):
            if blob.name not in kept:
                self._blobs.delete(blob.name)


def _decoded(state: State) -> Snapshot:
    return Snapshot(**json.loads(state.data))


def _position(name: str) -> int:
    """The log position in the name of a snapshot's blob."""
    return int(name.rpartition("/")[2].partition("-")[0])
