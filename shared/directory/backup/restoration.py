"""Puts a backup into an empty tenant partition, so that at every moment all of it is in use or nothing.

Rows come first, under their own keys, the first log row before all others: from then on a function app that was left
running cannot commit anything, for it would have to insert that very row. Meanwhile there is no `head`, and a ledger
without head is empty. What a restored directory needs before it may be used is then committed by an ordinary ledger
whose head stands under another key. One transaction at the end gives the head its name.

A restore that dies is continued by the next one of the same file.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Generic, TypeVar

from shared.context import Context, Deadline
from shared.directory.backup.backup_file import BackupSummary, open_backup
from shared.directory.backup.errors import BackupUnusable, RestoreRefused
from shared.directory.backup.tally import Tally
from shared.directory.batch import MAX_BODY_BYTES, MAX_OPERATIONS, Method, Operation, build_batch, operation_size
from shared.directory.errors import MalformedRow, StateChanged, StorageRefused, StorageUnavailable
from shared.directory.head import HEAD_KEY, decode_head, encode_head
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.log import LOG_PREFIX, log_key
from shared.directory.pace import Pace
from shared.directory.partition import Partition
from shared.directory.records.base import row_sha256
from shared.directory.records.fence import FENCES, Fence
from shared.directory.rows import encode_row
from shared.directory.state import StateStore
from shared.directory.tables import TableStore, backoff

T = TypeVar("T")

NEXT_HEAD_KEY = "head.next"
MARKER = "restore"
"""The state that says which backup is being restored, and how many of its rows stand already."""
MARKED_EVERY = 20
"""Transactions. A restore that is continued writes at most so many again."""
BATCH_TIME = timedelta(minutes=2)
FIRST_LOG_KEY = log_key(1)


@dataclass(frozen=True, slots=True)
class Restored(Generic[T]):
    """What was restored, and what the preparation answered (None: an earlier restore of the file had finished)."""

    summary: BackupSummary
    prepared: T | None


@dataclass(frozen=True, slots=True)
class _Marker:
    sha256: str
    rows: int
    complete: bool

    def encode(self) -> bytes:
        return json.dumps({"sha256": self.sha256, "rows": self.rows, "complete": self.complete}).encode()

    @classmethod
    def decode(cls, data: bytes) -> "_Marker":
        try:
            fields = json.loads(data)
            return cls(str(fields["sha256"]), int(fields["rows"]), bool(fields["complete"]))
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedRow(MARKER, "it is not the state of a restore") from error


class Restoration:
    """Restores backups of one tenant into one table. The function app is to be stopped meanwhile.

    All methods raise StorageUnavailable and StorageRefused.
    """

    def __init__(self, tables: TableStore, tenant_id: str) -> None:
        self._tables = tables
        self._partition = Partition(tables, tenant_id)
        self._state = StateStore(tables, tenant_id)
        self._pace = Pace()

    def check(self, summary: BackupSummary, *, start_again: bool = False) -> None:
        """Raises RestoreRefused, saying what to do, unless this backup may be restored here now. Changes nothing."""
        tenant_id = self._partition.name
        if summary.tenant_id != tenant_id:
            raise RestoreRefused(
                f"The backup is of the tenant {summary.tenant_id}, and ENTRA_TENANT_ID is {tenant_id}: a directory "
                "cannot change its tenant."
            )
        marker, stored = self._marker(), self._tables.get(tenant_id, HEAD_KEY)
        ours = marker is not None and marker.sha256 == summary.sha256
        if stored is not None and not (ours and marker is not None and marker.complete):
            raise RestoreRefused(
                f"The directory of this tenant is not empty: it is at log row {decode_head(stored).head.seq}. Set "
                "DIRECTORY_TABLE to a new name, here and in the function app, and restore into that; the old table "
                "stays as it is."
            )
        if stored is None and not start_again and not ours:
            if marker is not None:
                raise RestoreRefused(
                    "A restore of another backup has begun here. Finish it with that file, or drop it with "
                    "--start-again."
                )
            if next(self._keys(), None) is not None:
                raise RestoreRefused(
                    "There are rows of this tenant but no head: this is no directory, nor a restore under way. Set "
                    "DIRECTORY_TABLE to a new name, or delete them with --start-again."
                )

    def run(
        self,
        path: Path,
        summary: BackupSummary,
        tally: Tally,
        prepare: Callable[[Ledger], T],
        context: Context,
        *,
        start_again: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Restored[T]:
        """Restores the file, or continues to.

        Args:
            summary, tally: from `verify_backup` of the same file.
            prepare: gets the ledger with everything in it, before anybody else can use it. May run again.
            start_again: drops what a restore that did not finish has left behind.
            progress: called with the number of rows just dealt with.

        Raises: RestoreRefused; BackupUnusable if the file changed meanwhile; what `prepare` raises.
        """
        self.check(summary, start_again=start_again)
        if self._tables.get(self._partition.name, HEAD_KEY) is not None:
            self._state.delete(MARKER)
            return Restored(summary, None)
        if start_again:
            self._clear()
        marker = self._begin(summary)
        if self._tables.get(self._partition.name, NEXT_HEAD_KEY) is None:
            self._write_rows(path, summary, tally, marker, progress)
            with suppress(StateChanged):
                self._tables.put(self._partition.name, NEXT_HEAD_KEY, encode_row(encode_head(summary.head)), "")
        ledger = Ledger(self._tables, self._partition.name, head_key=NEXT_HEAD_KEY)
        prepared = prepare(ledger)
        _forget_leases(ledger, context)
        self._mark(_Marker(summary.sha256, marker.rows, complete=True))
        self._open()
        self._state.delete(MARKER)
        return Restored(summary, prepared)

    def _begin(self, summary: BackupSummary) -> _Marker:
        marker = self._marker()
        if marker is None:
            marker = _Marker(summary.sha256, 0, complete=False)
            self._mark(marker)
        self._state.clear(keep=MARKER)  # leases and checkpoints are of the directory that was lost
        return marker

    def _write_rows(
        self, path: Path, summary: BackupSummary, tally: Tally, marker: _Marker, progress: Callable[[int], None]
    ) -> None:
        batch, size, sent = list[Operation](), 0, 0
        with open_backup(path) as reader:
            for number, (key, row) in enumerate(reader.rows(), start=1):
                progress(1)
                if row is None or not (key.startswith(LOG_PREFIX) or tally.use(key, row_sha256(row))):
                    continue  # another state of the record is the one that counts
                if number <= marker.rows:
                    continue
                operation = Operation(Method.INSERT, key, encode_row(row))
                needed = operation_size(self._partition.name, key, operation.properties)
                if len(batch) == MAX_OPERATIONS or size + needed > MAX_BODY_BYTES:
                    self._insert(batch)
                    sent += 1
                    if sent % MARKED_EVERY == 0:
                        self._mark(_Marker(summary.sha256, number - 1, complete=False))
                    batch, size = [], 0
                batch.append(operation)
                size += needed
            self._insert(batch)
            if reader.summary != summary:
                raise BackupUnusable(path, "it was changed while it was being restored")

    def _insert(self, operations: list[Operation]) -> None:
        """Inserts rows; those that stand already, from an attempt before, are replaced one by one."""
        if not operations:
            return
        self._pace.keep(len(operations))
        status = self._transact(operations)
        if status == 409:
            if self._is_open():  # whoever committed first has taken the first log row, and the head with it
                raise RestoreRefused("Somebody else uses this directory: stop the function app, then start again.")
            for operation in operations:
                self._tables.put(self._partition.name, operation.key, operation.properties, None)
        elif status != 202:
            raise StorageRefused(f"The storage service refused a transaction with status {status}.")

    def _open(self) -> None:
        """Gives the head its name: from here on the directory is in use."""
        entity = self._tables.get(self._partition.name, NEXT_HEAD_KEY)
        if entity is None:
            raise MalformedRow(NEXT_HEAD_KEY, "it has gone: does another restore run at the same time?")
        stored = decode_head(entity)
        operations = [
            Operation(Method.INSERT, HEAD_KEY, encode_row(encode_head(stored.head))),
            Operation(Method.DELETE, NEXT_HEAD_KEY, {}, str(stored.etag)),
        ]
        status = self._transact(operations)
        if status != 202 and not self._is_open():
            raise StorageRefused(f"The storage service refused to open the restored directory with status {status}.")

    def _is_open(self) -> bool:
        return self._tables.get(self._partition.name, HEAD_KEY) is not None

    def _transact(self, operations: list[Operation]) -> int:
        """Sends a transaction until it is answered. Returns the status; 202: applied.

        If an answer was lost, the status is that of the repetition: a conflict with what the first one did.
        """
        tables, deadline = self._tables, Deadline.after(BATCH_TIME)
        batch = build_batch(tables.url, tables.table, self._partition.name, operations, str(uuid.uuid4()))
        attempt = 0
        while (reply := tables.transact(batch, deadline)) is None:
            attempt += 1
            if deadline.expired:
                raise StorageUnavailable("The storage service is busy or failing. Run the restore again: it goes on.")
            time.sleep(min(backoff(attempt), deadline.remaining))
        return reply.status

    def _clear(self) -> None:
        """Deletes all rows; the first log row last, as it keeps others from committing."""
        self._state.delete(MARKER)
        self._tables.delete(self._partition.name, NEXT_HEAD_KEY)
        keys = list[str]()
        for key in self._keys():
            if key != FIRST_LOG_KEY:
                keys.append(key)
            if len(keys) == MAX_OPERATIONS:
                self._delete(keys)
                keys = []
        self._delete(keys)
        self._tables.delete(self._partition.name, FIRST_LOG_KEY)

    def _delete(self, keys: list[str]) -> None:
        self._pace.keep(len(keys))
        if keys and self._transact([Operation(Method.DELETE, key, {}) for key in keys]) != 202:
            for key in keys:
                self._tables.delete(self._partition.name, key)

    def _keys(self) -> Iterator[str]:
        for entity in self._tables.query(self._partition.name, "", None, only=("Timestamp",)):
            yield str(entity["RowKey"])

    def _marker(self) -> _Marker | None:
        state = self._state.get(MARKER)
        return None if state is None else _Marker.decode(state.data)

    def _mark(self, marker: _Marker) -> None:
        self._state.put(MARKER, marker.encode())


def _forget_leases(ledger: Ledger, context: Context) -> None:
    """Leases are numbered anew, from 1: a fence of higher number would keep every runner out for ever."""

    def decide(tx: Transaction) -> None:
        for fence in tx.scan(Fence, FENCES):
            tx.delete(Fence, fence.key)

    ledger.commit(Request("directory.restored", context, decide), context.deadline)
