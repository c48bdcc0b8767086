"""A backup is one state of the directory, proven by its log; restored, it is that directory, or nothing is."""

import gzip
import json
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest

from local.azurite.azurite import Azurite
from shared.directory.audit import verify
from shared.directory.backup import BackupSummary, Tally, back_up, verify_backup
from shared.directory.backup.errors import BackupUnusable, DirectoryNotIntact, NothingToBackUp, RestoreRefused
from shared.directory.head import HEAD_KEY
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.log import LOG_PREFIX
from shared.directory.records.fence import Fence, fence_key
from shared.directory.rows import encode_row
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.errors import AppError
from tests.support.ledger_story import (
    Counter,
    Note,
    change_note,
    context,
    count_up,
    counter_key,
    note_key,
    soon,
    take_photo,
    write_note,
)
from tests.support.restores import Life, live, new_table, restore, rows_of


@pytest.fixture
def told(ledger: Ledger) -> Ledger:
    """A ledger with some history: changed and deleted records, awkward text, binary data, a large row."""

    def forget(tx: Transaction) -> None:
        tx.delete(Note, note_key(2))

    ledger.commit_all([write_note(f"note {number} “ü” \U0001f600 \u2028") for number in range(250)], soon())
    ledger.commit(Request("note.forgotten", context(), forget), soon())
    ledger.commit(change_note(1, "better"), soon())
    ledger.commit(take_photo(bytes(range(256)) * 1000), soon())
    for _ in range(3):
        ledger.commit(count_up("a"), soon())
    return ledger


@pytest.fixture
def target(azurite: Azurite) -> TableStore:
    return new_table(azurite.connection_string)


def checked(path: Path) -> BackupSummary:
    tally = Tally()
    try:
        return verify_backup(path, tally)
    finally:
        tally.close()


def test_what_is_restored_is_what_was_there_row_by_row(
    told: Ledger, tables: TableStore, target: TableStore, tmp_path: Path
) -> None:
    path = tmp_path / "backup.gz"
    written = back_up(told.partition, path)

    assert checked(path) == written
    restored = restore(target, told.tenant_id, path)

    assert restored.prepared == "prepared"
    assert rows_of(target, told.tenant_id) == rows_of(tables, told.tenant_id)
    report = verify(Ledger(target, told.tenant_id).partition)
    assert report.is_clean
    assert (report.seq, report.log_rows, report.records) == (written.head.seq, written.log_rows, written.records)
    assert StateStore(target, told.tenant_id).get("restore") is None


def test_a_restored_directory_goes_on_where_the_backup_ended(told: Ledger, target: TableStore, tmp_path: Path) -> None:
    back_up(told.partition, tmp_path / "backup.gz")
    restore(target, told.tenant_id, tmp_path / "backup.gz")
    after = Ledger(target, told.tenant_id)

    assert after.commit(write_note("one more"), soon()).value == 251
    assert after.commit(count_up("a"), soon()).value == 4
    assert verify(after.partition).is_clean


def test_a_backup_of_a_directory_in_use_is_one_state_of_it(told: Ledger, target: TableStore, tmp_path: Path) -> None:
    """Two counters are only ever changed together: any mixture of states would show them apart."""

    def both(tx: Transaction) -> None:
        for name in ("left", "zright"):
            counter = tx.get(Counter, counter_key(name)) or Counter(name=name, value=0)
            tx.put(replace(counter, value=counter.value + 1))

    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            told.commit(Request("both.up", context(), both), soon())
            told.commit(change_note(random.randrange(10, 200), "changed meanwhile"), soon())

    told.commit(Request("both.up", context(), both), soon())
    writer = threading.Thread(target=write)
    writer.start()
    try:
        summaries = [back_up(told.partition, tmp_path / f"{number}.gz") for number in range(3)]
    finally:
        stop.set()
        writer.join()
    restore(target, told.tenant_id, tmp_path / "2.gz")
    after = Ledger(target, told.tenant_id)

    assert all(earlier.head.seq < later.head.seq for earlier, later in pairwise(summaries))
    left, right = (after.get(Counter, counter_key(name)) for name in ("left", "zright"))
    assert left is not None and right is not None
    assert left.value == right.value
    assert verify(after.partition).is_clean


def test_a_directory_that_is_not_intact_is_not_backed_up(told: Ledger, tables: TableStore, tmp_path: Path) -> None:
    tables.put(told.tenant_id, note_key(7), encode_row({"id": 7, "text": "forged"}), None)

    with pytest.raises(DirectoryNotIntact, match=r"note\|0000000007: altered: it is not what log row 1 says"):
        back_up(told.partition, tmp_path / "backup.gz")

    tables.delete(told.tenant_id, note_key(7))
    with pytest.raises(DirectoryNotIntact, match=r"note\|0000000007: missing: log row 1 has it"):
        back_up(told.partition, tmp_path / "backup.gz")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_is_not_backed_up(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(NothingToBackUp):
        back_up(ledger.partition, tmp_path / "backup.gz")


def test_a_backup_overwrites_no_file_and_is_its_owners_alone(told: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "backup.gz"
    back_up(told.partition, path)
    before = path.read_bytes()

    with pytest.raises(FileExistsError):
        back_up(told.partition, path)

    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600


def _lines(edit: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    """Alters the text, and makes everything right that can be without knowing the hash chain."""

    def alter(path: Path) -> None:
        from hashlib import sha256

        lines = edit(gzip.decompress(path.read_bytes()).splitlines(keepends=True))
        last = json.loads(lines[-1])
        last["sha256"] = sha256(b"".join(lines[:-1])).hexdigest()
        path.write_bytes(gzip.compress(b"".join(lines[:-1]) + json.dumps(last).encode() + b"\n"))

    return alter


def _of(lines: list[bytes], key: str) -> int:
    return next(number for number, line in enumerate(lines) if line.startswith(f'["{key}'.encode()))


def _replaced(key: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def edit(lines: list[bytes]) -> list[bytes]:
        at = _of(lines, key)
        assert old in lines[at]
        return [*lines[:at], lines[at].replace(old, new), *lines[at + 1 :]]

    return _lines(edit)


def _without(key: str) -> Callable[[Path], None]:
    return _lines(lambda lines: [*lines[: _of(lines, key)], *lines[_of(lines, key) + 1 :]])


def _without_data(lines: list[bytes]) -> list[bytes]:
    """As a purge does, but nothing was purged."""
    at = _of(lines, "log|0000000000000002")
    key, row = json.loads(lines[at])
    operations = json.loads(row["operations"])
    del operations[0]["changes"][0]["data"]
    altered = json.dumps([key, row | {"operations": json.dumps(operations)}]).encode() + b"\n"
    return [*lines[:at], altered, *lines[at + 1 :]]


def _bytes(edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(edit(path.read_bytes())), None)[1]


def _text(edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return _bytes(lambda content: gzip.compress(edit(gzip.decompress(content))))


ALTERATIONS: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut off": (_bytes(lambda content: content[: len(content) // 2]), "cut off after line"),
    "cut off at the end of a line": (_text(lambda text: text[: text.rindex(b"\n", 0, -1) + 1]), "cut off after line"),
    "a bit turned": (
        _bytes(lambda content: content[:5000] + bytes([content[5000] ^ 4]) + content[5001:]),
        "damaged after line|line .* is damaged|cut off|another SHA-256|altered",
    ),
    "text altered": (_text(lambda text: text.replace(b'"better"', b'"wetter"')), "altered|another SHA-256"),
    "record altered": (
        _replaced(note_key(5), b"note 4", b"note x"),
        r"note\|0000000005: altered: it is not what log row",
    ),
    "record left out": (_without(note_key(5)), r"note\|0000000005: missing: log row"),
    "record added": (
        _lines(lambda lines: [*lines[:-1], b'["note|0000000999",{"id":999,"text":"x"}]\n', lines[-1]]),
        r"note\|0000000999: added: no log row names it",
    ),
    "deleted record brought back": (
        _lines(lambda lines: [*lines[:-1], b'["note|0000000002",{"id":2,"text":"x"}]\n', lines[-1]]),
        r"note\|0000000002: added: log row \d+ deleted it",
    ),
    "log row altered": (
        _replaced("log|0000000000000002", b"tester", b"taster"),
        r"log\|0000000000000002: altered: its hash is not that of its content \(found at line 3\)",
    ),
    "data taken out of a log row": (
        _lines(_without_data),
        r"log\|0000000000000002: altered: the data of .* are missing",
    ),
    "log row left out": (_without("log|0000000000000003"), r"log\|0000000000000003: the log row is missing"),
    "last log row left out": (
        _lines(lambda lines: [line for line in lines if b"log|0000000000000009" not in line]),
        "its log does not end where its last line says",
    ),
    "head set back": (
        _lines(lambda lines: [*lines[:-1], lines[-1].replace(b'{"note":251}', b'{"note":9}').replace(b"251", b"9")]),
        "its log does not end where its last line says",
    ),
    "no backup": (_bytes(lambda content: b"something else"), "it is no backup"),
    "some other gzip": (_text(lambda text: b'{"a": 1}\n'), "it is no backup"),
    "a later version": (_text(lambda text: text.replace(b'"version": 1', b'"version": 2', 1)), "its version is 2"),
    "something behind it": (_text(lambda text: text + b"{}\n"), "something follows its last line"),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_file_is_refused_by_the_name_of_what_is_wrong(told: Ledger, tmp_path: Path, name: str) -> None:
    alter, expected = ALTERATIONS[name]
    path = tmp_path / "backup.gz"
    back_up(told.partition, path)
    alter(path)

    with pytest.raises(BackupUnusable, match=expected):
        checked(path)


def test_a_directory_that_is_in_use_is_not_overwritten(told: Ledger, tables: TableStore, tmp_path: Path) -> None:
    back_up(told.partition, tmp_path / "backup.gz")
    before = rows_of(tables, told.tenant_id)

    for options in ({}, {"start_again": True}):
        with pytest.raises(RestoreRefused, match=r"not empty: it is at log row .* DIRECTORY_TABLE"):
            restore(tables, told.tenant_id, tmp_path / "backup.gz", **options)

    assert rows_of(tables, told.tenant_id) == before


def test_a_backup_of_another_tenant_is_refused(told: Ledger, target: TableStore, tmp_path: Path) -> None:
    back_up(told.partition, tmp_path / "backup.gz")

    with pytest.raises(RestoreRefused, match="cannot change its tenant"):
        restore(target, "11111111-2222-4333-8444-555555555555", tmp_path / "backup.gz")


def test_state_of_the_lost_directory_does_not_survive(told: Ledger, target: TableStore, tmp_path: Path) -> None:
    """A delta link newer than the directory would hide changes for ever; so would a fence above all leases."""

    def fence(tx: Transaction) -> None:
        tx.put(Fence(name="tenant-sync", number=57))

    told.commit(Request("fenced", context(), fence), soon())
    back_up(told.partition, tmp_path / "backup.gz")
    state = StateStore(target, told.tenant_id)
    state.put("checkpoint", b"a delta link")

    restore(target, told.tenant_id, tmp_path / "backup.gz")

    after = Ledger(target, told.tenant_id)
    assert state.get("checkpoint") is None
    assert after.get(Fence, fence_key("tenant-sync")) is None
    assert verify(after.partition).is_clean


@pytest.mark.parametrize("seed", range(2))
def test_a_restore_that_is_killed_again_and_again_leaves_nothing_half_in_use(
    told: Ledger, tables: TableStore, azurite: Azurite, target: TableStore, tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "backup.gz"
    back_up(told.partition, path)
    chance, deaths = random.Random(seed), 0
    for most in count(15, 6):  # ever longer lives: one of them reaches the end
        life = Life(
            azurite.connection_string,
            target.table,
            told.tenant_id,
            path,
            dies_at=chance.randrange(1, most),
            after=chance.random() < 0.5,
        )
        if live(life) == 0:
            break
        deaths += 1
        after = Ledger(target, told.tenant_id)
        if after.head().seq == 0 and rows_of(target, told.tenant_id):
            with pytest.raises(AppError):
                after.commit(write_note("by an app that was left running"), soon(5))
        assert after.head().seq in (0, told.head().seq)

    assert deaths > 0
    assert rows_of(target, told.tenant_id) == rows_of(tables, told.tenant_id)
    assert StateStore(target, told.tenant_id).get("restore") is None


def test_an_unfinished_restore_is_finished_or_dropped(
    told: Ledger, tables: TableStore, azurite: Azurite, target: TableStore, tmp_path: Path
) -> None:
    early, late = tmp_path / "early.gz", tmp_path / "late.gz"
    back_up(told.partition, early)
    told.commit(write_note("later"), soon())
    back_up(told.partition, late)
    life = Life(azurite.connection_string, target.table, told.tenant_id, early, dies_at=9, after=True)
    assert live(life) == -9

    with pytest.raises(RestoreRefused, match=r"another backup has begun here.*--start-again"):
        restore(target, told.tenant_id, late)
    restore(target, told.tenant_id, late, start_again=True)

    assert rows_of(target, told.tenant_id) == rows_of(tables, told.tenant_id)


def test_rows_without_a_head_are_not_taken_for_a_restore(told: Ledger, target: TableStore, tmp_path: Path) -> None:
    back_up(told.partition, tmp_path / "backup.gz")
    target.put(told.tenant_id, "note|0000000001", encode_row({"id": 1, "text": "x"}), None)

    with pytest.raises(RestoreRefused, match="rows of this tenant but no head"):
        restore(target, told.tenant_id, tmp_path / "backup.gz")


def test_an_app_that_was_first_keeps_its_directory(told: Ledger, target: TableStore, tmp_path: Path) -> None:
    """It commits between the look at the empty partition and the first row."""
    from shared.directory.backup import Restoration

    path = tmp_path / "backup.gz"
    back_up(told.partition, path)
    restoration = Restoration(target, told.tenant_id)
    other = Ledger(target, told.tenant_id)
    keep = restoration._pace.keep

    def commit_first(entities: int) -> None:
        if other.head().seq == 0:
            other.commit(write_note("first"), soon())
        keep(entities)

    restoration._pace.keep = commit_first  # type: ignore[method-assign]
    tally = Tally()
    with pytest.raises(RestoreRefused, match="Somebody else uses this directory"):
        restoration.run(path, verify_backup(path, tally), tally, lambda _: None, context())
    tally.close()

    assert HEAD_KEY in rows_of(target, told.tenant_id)
    assert verify(other.partition).is_clean


def test_the_log_comes_first_in_the_file(told: Ledger, tmp_path: Path) -> None:
    """Its first row keeps others from committing while the rest is restored."""
    back_up(told.partition, tmp_path / "backup.gz")

    first, second, *_ = gzip.decompress((tmp_path / "backup.gz").read_bytes()).splitlines()
    assert json.loads(first)["tenant_id"] == told.tenant_id
    assert json.loads(second)[0] == f"{LOG_PREFIX}{1:016d}"
