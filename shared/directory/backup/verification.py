"""Checks a backup before anything is done with it: the log's hash chain, and every record against it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from shared.directory.audit_chain import Chain
from shared.directory.backup.backup_file import BackupReader, BackupSummary, open_backup
from shared.directory.backup.tally import Tally
from shared.directory.head import empty_head
from shared.directory.log import LOG_PREFIX
from shared.directory.records.base import Row, row_sha256


def verify_backup(path: Path, tally: Tally, progress: Callable[[int], None] = lambda _: None) -> BackupSummary:
    """Reads all of it once, in constant memory. Afterwards the tally (given empty) knows which rows count.

    Args:
        progress: called with the number of rows just checked.

    Raises: BackupUnusable, which says what is wrong where; OSError.
    """
    with open_backup(path) as reader:
        check = _Check(reader, tally)
        for key, row in reader.rows():
            check.take(key, row)
            progress(1)
        assert reader.summary is not None  # or rows() would have raised
        check.finish(reader.summary)
        return reader.summary


class _Check:
    def __init__(self, reader: BackupReader, tally: Tally) -> None:
        self._reader = reader
        self._tally = tally
        self._chain = Chain(reader.tenant_id, tally, self._refuse)

    def take(self, key: str, row: Row | None) -> None:
        if not key.startswith(LOG_PREFIX):
            self._tally.found(key, None if row is None else row_sha256(row))
        elif row is None:
            self._refuse(key, "a log row is never gone")
        else:
            self._chain.step(key, partial(dict, row))

    def finish(self, summary: BackupSummary) -> None:
        self._chain.finish()
        last = self._chain.last
        if last is None or empty_head(summary.tenant_id).after(last) != summary.head:
            raise self._reader.unusable("its log does not end where its last line says")
        differing = self._tally.differing()
        if differing:
            key = min(differing)
            raise self._reader.unusable(f"{key}: {self._tally.difference(key)}")
        if (self._chain.rows, self._tally.records()) != (summary.log_rows, summary.records):
            raise self._reader.unusable("it has not as many rows as its last line says")

    def _refuse(self, key: str, problem: str) -> None:
        raise self._reader.unusable(f"{key}: {problem} (found at line {self._reader.line})")
