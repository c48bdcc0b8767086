"""Makes a backup of a directory that is in use: one state of it, as of a log row, proven by the log's hash chain.

Table Storage has no snapshots. So records are read while they change; then the log is read on, and what it names since
is read again, until every record is what the log, as far as it was read, says of it.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NoReturn

from shared.context import Clock, Deadline, system_clock
from shared.directory.audit_chain import Chain
from shared.directory.backup.backup_file import BackupSummary, BackupWriter, new_backup
from shared.directory.backup.errors import DirectoryNotIntact, DirectoryRestless, NothingToBackUp
from shared.directory.backup.tally import Tally
from shared.directory.errors import MalformedRow
from shared.directory.head import decode_head, empty_head
from shared.directory.log import LOG_PREFIX, log_key
from shared.directory.partition import Partition, prefix_end
from shared.directory.records.base import Row, row_sha256
from shared.directory.rows import Entity, checked_row

READ_AT_ONCE = 500
SETTLING_TIME = timedelta(minutes=10)
"""How long changes are followed before the directory counts as restless."""


def back_up(
    partition: Partition, path: Path, *, clock: Clock = system_clock, progress: Callable[[int], None] = lambda _: None
) -> BackupSummary:
    """Writes a new file; writers need not stop. Needs temporary space for a hash of each record, no memory for them.

    Args:
        progress: called with the number of rows just written.

    Raises: NothingToBackUp, DirectoryNotIntact, DirectoryRestless, StorageUnavailable, StorageRefused, OSError. Then
        there is no file.
    """
    if partition.tables.get(partition.name, partition.head_key) is None:
        raise NothingToBackUp(partition.name)
    with closing(Tally()) as tally, new_backup(path, partition.name, clock()) as writer:
        return _Copying(partition, tally, writer, progress).run()


def _refuse(key: str, problem: str) -> NoReturn:
    raise DirectoryNotIntact(key, problem)


class _Copying:
    def __init__(
        self, partition: Partition, tally: Tally, writer: BackupWriter, progress: Callable[[int], None]
    ) -> None:
        self._partition = partition
        self._tally = tally
        self._writer = writer
        self._progress = progress
        self._chain = Chain(partition.name, tally, _refuse)

    def run(self) -> BackupSummary:
        self._follow_log()
        self._read_records()
        self._follow_log()
        self._settle()
        self._chain.finish()
        last = self._chain.last
        if last is None:
            raise NothingToBackUp(self._partition.name)
        head = empty_head(self._partition.name).after(last)
        self._check_head(head.seq)
        return self._writer.finish(head, self._chain.rows, self._tally.records())

    def _follow_log(self) -> set[str]:
        """Takes over the log rows that were added since. Returns the keys of the records they name, unless from the
        beginning."""
        touched = set[str]()
        again = self._chain.rows > 0
        start = log_key(self._chain.last_seq + 1) if again else LOG_PREFIX
        for entity in self._query(start, prefix_end(LOG_PREFIX)):
            key = str(entity["RowKey"])
            row = _checked(entity)
            log = self._chain.step(key, partial(dict, row))
            self._write(key, row)
            if again and log is not None:
                touched.update(change.key for operation in log.operations for change in operation.changes)
        return touched

    def _read_records(self) -> None:
        for start, end in (("", LOG_PREFIX), (prefix_end(LOG_PREFIX), None)):
            for entity in self._query(start, end):
                if entity["RowKey"] != self._partition.head_key:
                    self._take(str(entity["RowKey"]), entity)

    def _settle(self) -> None:
        """Reads again what differs, until nothing does. What differs though nobody changed it is wrong."""
        deadline = Deadline.after(SETTLING_TIME)
        differing = self._tally.differing()
        while differing:
            if deadline.expired:
                raise DirectoryRestless
            mentions = {key: self._tally.of(key) for key in differing}
            self._read_again(differing)
            touched = self._follow_log()
            differing = self._tally.still_differing(sorted({*differing, *touched}))
            for key in differing:
                if key in mentions and mentions[key] == self._tally.of(key):
                    _refuse(key, self._tally.difference(key))

    def _read_again(self, keys: list[str]) -> None:
        for at in range(0, len(keys), READ_AT_ONCE):
            some = keys[at : at + READ_AT_ONCE]
            found = self._partition.get_entities(some)
            for key in some:
                self._take(key, found.get(key))

    def _take(self, key: str, entity: Entity | None) -> None:
        row = None if entity is None else _checked(entity)
        self._tally.found(key, None if row is None else row_sha256(row))
        self._write(key, row)

    def _write(self, key: str, row: Row | None) -> None:
        self._writer.write(key, row)
        self._progress(1)

    def _check_head(self, seq: int) -> None:
        """The log cannot be ahead of the head, which was written with its last row."""
        entity = self._partition.tables.get(self._partition.name, self._partition.head_key)
        if entity is None or decode_head(entity).head.seq < seq:
            _refuse(log_key(seq), "added: the log row stands beyond the head")

    def _query(self, start: str, end: str | None) -> Iterator[Entity]:
        return self._partition.tables.query(self._partition.name, start, end)


def _checked(entity: Entity) -> Row:
    try:
        return checked_row(entity)
    except MalformedRow as error:
        _refuse(error.key, error.problem)
