"""The audit's walk along the log: every row in place, unaltered, and following the one before it."""

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from shared.directory.errors import MalformedRow
from shared.directory.head import BEGINNING
from shared.directory.log import LOG_PREFIX, PURGE, LogChange, LogRow, decode_log_row, genesis_hash, log_key
from shared.directory.partition import Partition, prefix_end
from shared.directory.records.base import Row, row_sha256
from shared.directory.rows import checked_row

_LOG_KEY = re.compile(r"log\|[0-9]{16}")

Report = Callable[[str, str], None]
"""Called with a row key and what is wrong with that row."""


@dataclass(frozen=True, slots=True)
class Mention:
    """What the last log row that names a record says of it; `sha256` None: deleted."""

    sha256: str | None
    seq: int


@dataclass(frozen=True, slots=True)
class Redaction:
    """Of this record, so many copies of its data were taken out of the log, since the log row `purged_by` purged it."""

    key: str
    purged_by: str
    copies: int


class Mentions:
    """What the log says of each record. In a temporary SQLite database, as a ledger may name millions."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # SQLite's own temporary file: spills to disk, vanishes when closed
        self._database.execute(
            "CREATE TABLE mention (key TEXT PRIMARY KEY, sha256 TEXT, seq INTEGER, seen INTEGER) WITHOUT ROWID"
        )
        self._database.execute("CREATE TABLE missing (key TEXT, seq INTEGER, purged_by INTEGER)")
        self._database.execute("CREATE INDEX missing_by_key ON missing (key)")

    def note(self, key: str, mention: Mention) -> None:
        self._database.execute(
            "INSERT INTO mention VALUES (?, ?, ?, 0)"
            " ON CONFLICT (key) DO UPDATE SET sha256 = excluded.sha256, seq = excluded.seq",
            (key, mention.sha256, mention.seq),
        )

    def of(self, key: str) -> Mention | None:
        found = self._database.execute("SELECT sha256, seq FROM mention WHERE key = ?", (key,)).fetchone()
        return Mention(*found) if found else None

    def tick(self, key: str) -> None:
        """The record was met in the table."""
        self._database.execute("UPDATE mention SET seen = 1 WHERE key = ?", (key,))

    def unticked(self) -> list[str]:
        """The records that the log says are there and that were not met."""
        rows = self._database.execute("SELECT key FROM mention WHERE sha256 IS NOT NULL AND NOT seen ORDER BY key")
        return [key for (key,) in rows]

    def note_missing_data(self, key: str, seq: int) -> None:
        """The log row has no data of the record, though it once had."""
        self._database.execute("INSERT INTO missing VALUES (?, ?, NULL)", (key, seq))

    def note_purge(self, key: str, seq: int) -> None:
        """The record was purged: what is missing of it so far may be missing."""
        self._database.execute("UPDATE missing SET purged_by = ? WHERE key = ? AND purged_by IS NULL", (seq, key))

    def unexplained(self) -> Iterator[tuple[str, int]]:
        """Key and log row of each copy of data that is missing for no reason."""
        yield from self._database.execute("SELECT key, seq FROM missing WHERE purged_by IS NULL ORDER BY seq, key")

    def redactions(self, most: int) -> list[Redaction]:
        """Of the records that were purged, by key."""
        rows = self._database.execute(
            "SELECT key, max(purged_by), count(*) FROM missing WHERE purged_by IS NOT NULL"
            " GROUP BY key ORDER BY key LIMIT ?",
            (most,),
        )
        return [Redaction(key, log_key(seq), copies) for key, seq, copies in rows]

    def close(self) -> None:
        self._database.close()


class Chain:
    """Checks log rows one after the other: each in place, unaltered, and following the one before it."""

    def __init__(
        self, tenant_id: str, mentions: Mentions, report: Report, anchors: Iterable[tuple[int, str]] = ()
    ) -> None:
        self.rows = 0
        self.last: LogRow | None = None
        """The last row met that could be read."""
        self._anchors = dict(anchors)
        self._mentions = mentions
        self._report = report
        self._expected = 1
        self._previous_hash: str | None = genesis_hash(tenant_id)
        """None after a gap or an unreadable row: nothing to compare with."""
        self._time: datetime = BEGINNING

    @property
    def last_seq(self) -> int:
        """Of the last row met, readable or not."""
        return self._expected - 1

    def step(self, key: str, read: Callable[[], Row]) -> LogRow | None:
        """The next row: its key, and how to get it. Returns it if it can be read.

        `read` may raise MalformedRow.
        """
        seq = int(key.removeprefix(LOG_PREFIX)) if _LOG_KEY.fullmatch(key) else 0
        if seq < self._expected:
            self._report(key, "not a log row: this app gives no row such a key")
            return None
        self.rows += 1
        if seq > self._expected:
            last = f" and all up to {log_key(seq - 1)}" if seq > self._expected + 1 else ""
            self._report(log_key(self._expected), f"the log row is missing{last}")
            self._previous_hash = None
        self._expected = seq + 1
        anchor = self._anchors.pop(seq, None)
        try:
            log = decode_log_row(key, read())
        except MalformedRow as error:
            self._report(key, error.problem)
            self._previous_hash = None
            return None
        if anchor not in (None, log.hash):
            self._report(key, "its hash is not the one that was signed")
        self._check_links(log)
        for operation in log.operations:
            for change in operation.changes:
                self._check_change(log, change)
                self._mentions.note(change.key, Mention(change.sha256, seq))
                if operation.action == PURGE:
                    self._mentions.note_purge(change.key, seq)
        self.last, self._previous_hash, self._time = log, log.hash, log.time
        return log

    def finish(self) -> None:
        """After the last row: reports data that are missing though no later row purged their record, and the anchors
        that no row was compared with."""
        for key, seq in self._mentions.unexplained():
            self._report(log_key(seq), f"altered: the data of {key} are missing")
        for seq in sorted(self._anchors):
            self._report(log_key(seq), "the log row is missing: its hash was signed")

    def _check_links(self, log: LogRow) -> None:
        if log.computed_hash() != log.hash:
            self._report(log.key, "altered: its hash is not that of its content")
        if self._previous_hash not in (None, log.previous_hash):
            culprit = log_key(log.seq - 1) if log.seq > 1 else log.key
            self._report(culprit, f"altered or exchanged: {log.key} follows a row with another hash")
        if log.time < self._time:
            self._report(log.key, "it is older than the row before it")
        before = self.last.next_ids if self.last else {}
        if any(log.next_ids.get(name, 1) < value for name, value in before.items()):
            self._report(log.key, "its next ids are lower than those before: ids were given twice")

    def _check_change(self, log: LogRow, change: LogChange) -> None:
        if change.data is None and change.data_sha256 is not None:
            self._mentions.note_missing_data(change.key, log.seq)
        if change.data is not None and row_sha256(change.data) != change.data_sha256:
            self._report(log.key, f"altered: the data of {change.key} do not match their hash")


class ChainWalk(Chain):
    """Walks the log in the table from its beginning, as often as asked to where it ends now."""

    def __init__(
        self, partition: Partition, anchors: Iterable[tuple[int, str]], mentions: Mentions, report: Report
    ) -> None:
        super().__init__(partition.name, mentions, report, anchors)
        self._partition = partition

    def go_on(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Checks the rows that were added since."""
        start = log_key(self._expected) if self.rows else LOG_PREFIX
        for entity in self._partition.tables.query(self._partition.name, start, prefix_end(LOG_PREFIX)):
            before = self.rows
            self.step(str(entity["RowKey"]), partial(checked_row, entity))
            progress(self.rows - before)
