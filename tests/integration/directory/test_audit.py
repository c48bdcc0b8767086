"""`audit verify` finds every alteration made behind the ledger's back, by the name of the row."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.directory.audit import AuditReport, verify
from shared.directory.batch import Method, Operation, build_batch
from shared.directory.head import HEAD_KEY
from shared.directory.ledger import Ledger, LogRow
from shared.directory.log import decode_log_row, encode_log_row, log_key
from shared.directory.records.base import Row, row_sha256
from shared.directory.rows import decode_row, encode_row
from shared.directory.tables import TableStore
from tests.support.ledger_story import Note, change_note, context, note_key, soon, write_note


class Intruder:
    """Somebody with the storage key: writes rows as the storage service allows."""

    def __init__(self, tables: TableStore, ledger: Ledger) -> None:
        self.tables = tables
        self.ledger = ledger
        self.partition = ledger.tenant_id

    def properties(self, key: str) -> dict[str, Any]:
        entity = self.tables.get(self.partition, key)
        assert entity is not None
        return encode_row(decode_row(entity))

    def write(self, key: str, properties: dict[str, Any]) -> None:
        self.tables.put(self.partition, key, properties, None)

    def alter(self, key: str, **properties: Any) -> None:
        self.write(key, self.properties(key) | properties)

    def remove(self, key: str) -> None:
        self.tables.delete(self.partition, key)

    def log_row(self, seq: int) -> LogRow:
        entity = self.tables.get(self.partition, log_key(seq))
        assert entity is not None
        return decode_log_row(log_key(seq), decode_row(entity))

    def forge(self, log: LogRow) -> None:
        """Writes a log row whose hash is right for its content."""
        self.write(log.key, encode_row(encode_log_row(replace(log, hash=log.computed_hash()))))

    def rename_in_log(self, seq: int, text: str) -> LogRow:
        """The log row as if note 2 had been written with another text."""
        log = self.log_row(seq)
        operation = log.operations[0]
        row: Row = {"id": 2, "text": text}
        data: Row = {"text": text}
        change = replace(operation.changes[0], sha256=row_sha256(row), data=data, data_sha256=row_sha256(data))
        return replace(log, operations=(replace(operation, changes=(change,)),))


@pytest.fixture
def intruder(tables: TableStore, ledger: Ledger) -> Intruder:
    """On a ledger of five log rows: notes 1 to 4 written one by one, then note 1 changed."""
    for number in range(1, 5):
        ledger.commit(write_note(f"note {number}"), soon())
    ledger.commit(change_note(1, "note 1, better"), soon())
    return Intruder(tables, ledger)


def found(report: AuditReport) -> set[str]:
    return {finding.key for finding in report.findings}


def test_an_untouched_ledger_is_clean(intruder: Intruder) -> None:
    report = verify(intruder.ledger.partition)

    assert report == AuditReport(seq=5, log_rows=5, records=4, findings=(), truncated=False)


def test_an_empty_ledger_is_clean(ledger: Ledger) -> None:
    assert verify(ledger.partition).is_clean


ALTERATIONS: dict[str, tuple[Callable[[Intruder], None], str, str]] = {
    "record altered": (
        lambda it: it.alter(note_key(2), text="forged"),
        note_key(2),
        "altered: it is not what log row 2",
    ),
    "record set back": (
        lambda it: it.alter(note_key(1), text="note 1"),
        note_key(1),
        "altered: it is not what log row 5",
    ),
    "record with one property more": (lambda it: it.alter(note_key(2), extra="x"), note_key(2), "altered"),
    "record with one property less": (
        lambda it: it.write(note_key(2), encode_row({"id": 2})),
        note_key(2),
        "altered",
    ),
    "record with another type": (
        lambda it: it.write(note_key(2), {"id": 2, "text": "note 2"}),
        note_key(2),
        "altered: id is of type int",
    ),
    "record removed": (lambda it: it.remove(note_key(3)), note_key(3), "removed: log row 3"),
    "record added": (
        lambda it: it.write(note_key(9), encode_row({"id": 9, "text": "x"})),
        note_key(9),
        "added: no log row names it",
    ),
    "row of no kind added": (lambda it: it.write("zzz", {"X": 1.5}), "zzz", "added"),
    "log row altered": (
        lambda it: it.alter(log_key(3), time="2026-01-01T00:00:00.000000Z"),
        log_key(3),
        "altered: its hash",
    ),
    "log row with one property more": (lambda it: it.alter(log_key(3), extra="x"), log_key(3), "not a log row"),
    "log row that is none": (lambda it: it.write(log_key(3), {"x": "y"}), log_key(3), "not a log row"),
    "log row removed": (lambda it: it.remove(log_key(3)), log_key(3), "missing"),
    "first log row removed": (lambda it: it.remove(log_key(1)), log_key(1), "missing"),
    "last log row removed": (lambda it: it.remove(log_key(5)), log_key(5), "missing"),
    "log row added": (
        lambda it: it.forge(replace(it.log_row(5), seq=6, previous_hash=it.log_row(5).hash)),
        log_key(6),
        "added: the log row stands beyond the head",
    ),
    "row among the log": (lambda it: it.write("log|x", {"x": "y"}), "log|x", "not a log row"),
    "log row rewritten with its hash": (lambda it: it.forge(it.rename_in_log(2, "forged")), log_key(2), "altered"),
    "last log row rewritten with its hash": (
        lambda it: it.forge(replace(it.log_row(5), commit_id="other")),
        HEAD_KEY,
        "it has not the hash of log|0000000000000005",
    ),
    "data in the log altered": (
        lambda it: it.alter(log_key(2), operations=it.properties(log_key(2))["operations"].replace("note 2", "forged")),
        log_key(2),
        "altered: the data of note|0000000002 do not match",
    ),
    "data in the log erased": (
        lambda it: it.alter(
            log_key(2), operations=it.properties(log_key(2))["operations"].replace('"data":{"text":"note 2"},', "")
        ),
        log_key(2),
        "altered: the data of note|0000000002 are missing",
    ),
    "head set back": (
        lambda it: it.alter(HEAD_KEY, seq="4", last_hash=it.log_row(4).hash),
        log_key(5),
        "beyond the head",
    ),
    "head with lower ids": (
        lambda it: it.alter(HEAD_KEY, next_ids=json.dumps({"note": 3}, separators=(",", ":"))),
        HEAD_KEY,
        "its next ids",
    ),
    "head with another time": (
        lambda it: it.alter(HEAD_KEY, time="2030-01-01T00:00:00.000000Z"),
        HEAD_KEY,
        "its time",
    ),
    "head with one property more": (lambda it: it.alter(HEAD_KEY, extra="x"), HEAD_KEY, "foreign properties"),
    "head removed": (lambda it: it.remove(HEAD_KEY), HEAD_KEY, "missing"),
    "head that is none": (lambda it: it.write(HEAD_KEY, {"x": "y"}), HEAD_KEY, "not a head"),
}


@pytest.mark.parametrize("alteration", ALTERATIONS.values(), ids=[name.replace(" ", "_") for name in ALTERATIONS])
def test_each_alteration_is_found_and_named(
    intruder: Intruder, alteration: tuple[Callable[[Intruder], None], str, str]
) -> None:
    alter, key, problem = alteration

    alter(intruder)

    findings = verify(intruder.ledger.partition).findings
    assert any(finding.key == key and problem in finding.problem for finding in findings), findings


def test_only_what_was_altered_is_named(intruder: Intruder) -> None:
    intruder.alter(note_key(2), text="forged")
    intruder.remove(note_key(3))
    intruder.alter(log_key(4), commit_id="forged")

    assert found(verify(intruder.ledger.partition)) == {note_key(2), note_key(3), log_key(4)}


def test_a_chain_rewritten_to_its_end_is_found_by_an_anchor_kept_elsewhere(intruder: Intruder) -> None:
    anchors = [(3, intruder.log_row(3).hash), (5, intruder.log_row(5).hash)]
    previous = intruder.rename_in_log(2, "forged")
    previous = replace(previous, hash=previous.computed_hash())
    intruder.forge(previous)
    for seq in (3, 4, 5):
        following = replace(intruder.log_row(seq), previous_hash=previous.hash)
        previous = replace(following, hash=following.computed_hash())
        intruder.forge(previous)
    intruder.alter(HEAD_KEY, last_hash=previous.hash)
    intruder.alter(note_key(2), text="forged")

    assert verify(intruder.ledger.partition).is_clean
    report = verify(intruder.ledger.partition, anchors=anchors)
    assert {(finding.key, finding.problem) for finding in report.findings} == {
        (log_key(3), "its hash is not the one that was signed"),
        (log_key(5), "its hash is not the one that was signed"),
    }


def test_an_anchor_beyond_the_end_shows_that_the_log_was_cut(intruder: Intruder) -> None:
    assert found(verify(intruder.ledger.partition, anchors=[(6, "0" * 64)])) == {log_key(6)}


def test_writers_at_work_raise_no_false_alarm(ledger: Ledger) -> None:
    for _ in range(20):
        ledger.commit(write_note("note"), soon())
    stop = threading.Event()

    def keep_changing() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            ledger.commit(change_note(1 + number % 20, f"change {number}"), soon())
            ledger.commit(write_note("more"), soon())

    writer = threading.Thread(target=keep_changing)
    writer.start()
    try:
        reports = [verify(ledger.partition) for _ in range(6)]
    finally:
        stop.set()
        writer.join()

    assert [report.findings for report in reports] == [()] * 6
    assert reports[-1].seq > reports[0].seq


def test_progress_counts_every_row(intruder: Intruder) -> None:
    steps: list[int] = []

    verify(intruder.ledger.partition, progress=steps.append)

    assert sum(steps) == 5 + 4


def test_more_findings_than_anybody_reads_are_cut_short(tables: TableStore, ledger: Ledger) -> None:
    for start in range(1, 1101, 100):
        operations = [
            Operation(Method.INSERT, note_key(number), encode_row({"id": number, "text": "x"}))
            for number in range(start, start + 100)
        ]
        batch = build_batch(tables.url, tables.table, ledger.tenant_id, operations, context().request_id)
        assert tables.transact(batch, soon()) is not None

    report = verify(ledger.partition)

    assert len(report.findings) == 1000
    assert report.truncated


def test_the_log_stops_where_a_row_is_missing(intruder: Intruder) -> None:
    intruder.remove(log_key(3))

    rows = intruder.ledger.log(0)
    assert [next(rows).seq, next(rows).seq] == [1, 2]
    with pytest.raises(Exception, match=r"log\|0000000000000003: the log row is missing"):
        next(rows)


def test_a_forged_log_row_beyond_the_head_is_named_instead_of_waiting_for_ever(intruder: Intruder) -> None:
    intruder.forge(replace(intruder.log_row(5), seq=6))

    with pytest.raises(Exception, match=r"log\|0000000000000006: the log row stands beyond the head"):
        intruder.ledger.commit(write_note("next"), soon(5))


def test_a_forged_record_stops_only_the_requests_that_look_at_it(intruder: Intruder) -> None:
    intruder.write(note_key(2), {"id": 2, "text": "x"})

    results = intruder.ledger.commit_all([change_note(2, "new"), change_note(3, "new")], soon())

    assert "id is of type int" in str(results[0])
    assert intruder.ledger.get(Note, note_key(3)) == Note(id=3, text="new")
