"""Follows the ledger's log: applies to a replica file what happened since its position."""

import sqlite3
from collections.abc import Iterator, Sequence

from shared.context import Deadline
from shared.directory.errors import MalformedRow
from shared.directory.head import Head
from shared.directory.log import PURGE, LogChange, LogRow
from shared.directory.replica.changes import REPLICATED_KINDS, ChangeWriter
from shared.directory.replica.errors import ReplicaBuilding
from shared.directory.replica.files import ReplicaFile
from shared.directory.replica.source import Source
from shared.telemetry import names
from shared.telemetry.recorder import recorder

CHANGES_A_TRANSACTION = 5_000
"""Many, because neighbours then share pages to write; few enough for others to get their turn within seconds."""


class HistoryChanged(Exception):
    """The log is not the one that the file follows: storage was restored, or old log rows were archived or altered."""


def follow(file: ReplicaFile, source: Source, head: Head, deadline: Deadline) -> None:
    """Brings the file to `head`, or further where another process has been faster.

    Raises: HistoryChanged; ReplicaBuilding at the deadline, keeping what was applied.
    """
    with file.reading() as connection:
        seq, chain_hash = position(connection)
    if seq == head.seq and chain_hash != head.last_hash:
        raise HistoryChanged
    if seq > head.seq and source.head().seq < seq:  # a head read after the file's position cannot be behind it
        raise HistoryChanged
    try:
        for rows in _chunks(source.log(seq, head.seq)) if seq < head.seq else ():
            if deadline.expired:
                raise ReplicaBuilding
            with file.writing() as connection:
                _apply(connection, rows, source)
            recorder().count(names.REPLICA_ROWS, amount=len(rows))
    except MalformedRow as error:
        raise HistoryChanged from error


def position(connection: sqlite3.Connection) -> tuple[int, str]:
    """The seq and the hash of the last log row that is applied."""
    seq, chain_hash = connection.execute("SELECT seq, hash FROM position").fetchone()
    return seq, chain_hash


def has_remnants(connection: sqlite3.Connection) -> bool:
    """Whether the file was there before somebody's data were erased: SQLite leaves what it deletes in free pages, in
    the write-ahead log and in the segments of an FTS5 index."""
    return connection.execute("SELECT 1 FROM purges LIMIT 1").fetchone() is not None


def _apply(connection: sqlite3.Connection, rows: Sequence[LogRow], source: Source) -> None:
    seq, chain_hash = position(connection)
    writer = ChangeWriter(connection)
    for row in rows:
        if row.seq <= seq:  # another process was faster
            continue
        if row.seq != seq + 1 or row.previous_hash != chain_hash:
            raise HistoryChanged
        for operation in row.operations:
            for change in operation.changes:
                _apply_change(writer, change, source)
            if operation.action == PURGE:
                connection.execute("INSERT OR IGNORE INTO purges VALUES (?)", (row.seq,))
        seq, chain_hash = row.seq, row.hash
    writer.flush(seq, chain_hash)


def _apply_change(writer: ChangeWriter, change: LogChange, source: Source) -> None:
    kind = REPLICATED_KINDS.get(change.key.partition("|")[0])
    if kind is None:
        return
    if change.sha256 is None:
        writer.delete(change.key)
    elif change.data is not None:
        writer.put(change.key, change.data)
    else:  # erased from the log by a purge: what stands in the table now is what the log comes to in the end
        current = source.get(kind, change.key)
        if current is not None:
            writer.put(change.key, current.replicated_row())


def _chunks(rows: Iterator[LogRow]) -> Iterator[list[LogRow]]:
    chunk, changes = list[LogRow](), 0
    for row in rows:
        chunk.append(row)
        changes += sum(len(operation.changes) for operation in row.operations)
        if changes >= CHANGES_A_TRANSACTION:
            yield chunk
            chunk, changes = [], 0
    if chunk:
        yield chunk
