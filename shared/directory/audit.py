"""Checks a ledger: walks the chain of log rows and compares every record with the last log row that names it.

Whoever can write the table can also rewrite the whole chain. That is found only by comparing with hashes kept
elsewhere: the anchors.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from shared.directory.audit_chain import ChainWalk, Mention, Mentions, Redaction
from shared.directory.errors import MalformedRow
from shared.directory.head import HEAD_KEY, StoredHead, decode_head, empty_head, encode_head
from shared.directory.log import LOG_PREFIX, log_key
from shared.directory.partition import Partition, prefix_end
from shared.directory.records.base import row_sha256
from shared.directory.records.purge import UnfinishedPurge
from shared.directory.rows import Entity, checked_row

MAX_FINDINGS = 1000
_RECHECKS = 10
_PURGING = f"{UnfinishedPurge.KIND}|"


@dataclass(frozen=True, slots=True)
class Finding:
    """A row, by its key, and what is wrong with it."""

    key: str
    problem: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was checked, and everything found wrong, ordered by key.

    Attributes:
        seq: the last log row that was checked.
        log_rows, records: how many were checked.
        findings: at most 1,000.
        truncated: there are more.
        redactions: what purges took out of the log, which is nothing wrong; at most 1,000 records.
        unfinished_purges: local ids of users whose purge has not come to its end.
    """

    seq: int
    log_rows: int
    records: int
    findings: tuple[Finding, ...]
    truncated: bool
    redactions: tuple[Redaction, ...] = ()
    unfinished_purges: tuple[int, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not self.findings


def verify(
    partition: Partition,
    *,
    anchors: Iterable[tuple[int, str]] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> AuditReport:
    """Checks the whole ledger of a partition; writers need not stop.

    Args:
        anchors: (seq, hash) of log rows, from where the table's writers cannot reach.
        progress: called with the number of rows just checked.

    Raises: StorageUnavailable, StorageRefused.
    """
    with closing(Mentions()) as mentions:
        return _Audit(partition, anchors, mentions, progress).run()


@dataclass(frozen=True, slots=True)
class _Suspect:
    key: str
    mention: Mention | None
    """The last mention that the record was compared with."""
    problem: str


class _Audit:
    def __init__(
        self,
        partition: Partition,
        anchors: Iterable[tuple[int, str]],
        mentions: Mentions,
        progress: Callable[[int], None],
    ) -> None:
        self._partition = partition
        self._mentions = mentions
        self._progress = progress
        self._findings: dict[Finding, None] = {}
        self._truncated = False
        self._unfinished_purges: list[int] = []
        self._walk = ChainWalk(partition, anchors, mentions, self._report)

    def run(self) -> AuditReport:
        self._check_log_and_head()
        suspects, records = self._suspects()
        self._walk.go_on(self._progress)
        for suspect in suspects:
            if self._mentions.of(suspect.key) == suspect.mention:
                self._report(suspect.key, suspect.problem)
            else:
                self._check_again(suspect.key)
        self._walk.finish()
        findings = sorted(self._findings, key=lambda finding: finding.key)
        redactions = tuple(self._mentions.redactions(MAX_FINDINGS))
        return AuditReport(
            self._walk.last_seq,
            self._walk.rows,
            records,
            tuple(findings),
            self._truncated,
            redactions,
            tuple(self._unfinished_purges),
        )

    def _report(self, key: str, problem: str) -> None:
        if len(self._findings) < MAX_FINDINGS:
            self._findings[Finding(key, problem)] = None
        else:
            self._truncated = True

    def _check_log_and_head(self) -> None:
        """The head is read after the log, so it cannot be behind it; the log is followed until it has caught up."""
        self._walk.go_on(self._progress)
        while (stored := self._head()) is not None and stored.head.seq > self._walk.last_seq:
            before = self._walk.last_seq
            self._walk.go_on(self._progress)
            if self._walk.last_seq == before:
                self._report(log_key(before + 1), f"the log row is missing: the head is at {stored.head.seq}")
                return
        if stored is None:
            return
        for seq in range(stored.head.seq + 1, self._walk.last_seq + 1):
            self._report(log_key(seq), "added: the log row stands beyond the head")
        last = self._walk.last
        if last is None or last.seq != stored.head.seq:
            return
        if stored.head.last_hash != last.hash:
            self._report(HEAD_KEY, f"altered: it has not the hash of {last.key}")
        if stored.head.next_ids != last.next_ids:
            self._report(HEAD_KEY, f"altered: its next ids are not those of {last.key}")
        if stored.head.time != last.time:
            self._report(HEAD_KEY, f"altered: its time is not that of {last.key}")

    def _head(self) -> StoredHead | None:
        entity = self._partition.tables.get(self._partition.name, HEAD_KEY)
        if entity is None:
            if self._walk.rows:
                self._report(HEAD_KEY, "missing")
                return None
            return empty_head(self._partition.name)
        try:
            stored = decode_head(entity)
            if encode_head(stored.head, stored.turn) != checked_row(entity):
                self._report(HEAD_KEY, "altered: it has foreign properties")
        except MalformedRow as error:
            self._report(HEAD_KEY, error.problem)
            return None
        return stored

    def _suspects(self) -> tuple[list["_Suspect"], int]:
        """The records that differ from their last mention, and how many records there are.

        A change under way may be the reason. Then the log, read on, names the record once more.
        """
        suspects, records = list[_Suspect](), 0
        for entity in self._records():
            key = str(entity["RowKey"])
            self._mentions.tick(key)
            self._suspect(suspects, key, entity)
            if (user_id := key.removeprefix(_PURGING)) != key and user_id.isdecimal():
                self._unfinished_purges.append(int(user_id))
            records += 1
            self._progress(1)
        for key in self._mentions.unticked():
            self._suspect(suspects, key, None)
        return suspects, records

    def _suspect(self, suspects: list["_Suspect"], key: str, entity: Entity | None) -> None:
        problem = self._problem(key, entity)
        if problem and len(suspects) <= MAX_FINDINGS:
            suspects.append(_Suspect(key, self._mentions.of(key), problem))

    def _records(self) -> Iterator[Entity]:
        for start, end in (("", LOG_PREFIX), (prefix_end(LOG_PREFIX), None)):
            for entity in self._partition.tables.query(self._partition.name, start, end):
                if entity["RowKey"] != HEAD_KEY:
                    yield entity

    def _check_again(self, key: str) -> None:
        """A difference counts if the log names the record no more after its row was read."""
        for _ in range(_RECHECKS):
            before = self._mentions.of(key)
            problem = self._problem(key, self._partition.tables.get(self._partition.name, key))
            if problem is None:
                return
            self._walk.go_on(self._progress)
            if self._mentions.of(key) == before:
                self._report(key, problem)
                return

    def _problem(self, key: str, entity: Entity | None) -> str | None:
        mention = self._mentions.of(key)
        if entity is None:
            return f"removed: log row {mention.seq} has it" if mention and mention.sha256 else None
        if mention is None:
            return "added: no log row names it"
        if mention.sha256 is None:
            return f"added: log row {mention.seq} deleted it"
        try:
            altered = row_sha256(checked_row(entity)) != mention.sha256
        except MalformedRow as error:
            return f"altered: {error.problem}"
        return f"altered: it is not what log row {mention.seq} says" if altered else None
