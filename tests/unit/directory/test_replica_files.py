"""A replica file may be damaged, foreign, old, deleted or meet a full disk; answers stay right or say why not."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.context import REQUEST_BUDGET, Deadline
from shared.directory.records.base import Record, Row
from shared.directory.records.user import Group
from shared.directory.replica import files, ranks, schema, source
from shared.directory.replica.errors import ReplicaBuilding, ReplicaUnavailable
from shared.directory.replica.files import ReplicaFolder
from shared.directory.replica.queries import UserQuery
from shared.directory.replica.replica import Replica
from tests.support.people import NOW, certificate, user
from tests.support.plain_ledger import PlainLedger

TENANT = str(uuid.uuid4())


@pytest.fixture
def ledger() -> PlainLedger:
    ledger = PlainLedger(TENANT)
    ledger.commit(*(user(n, f"Person {n}") for n in range(1, 200)))
    return ledger


@pytest.fixture
def open_replica(ledger: PlainLedger, tmp_path: Path) -> Iterator[Callable[[], Replica]]:
    """Each one is what another worker process would have."""
    opened: list[Replica] = []

    def open_replica() -> Replica:
        opened.append(Replica(ledger, tmp_path / "replicas", TENANT, clock=lambda: NOW))
        return opened[-1]

    yield open_replica
    for replica in opened:
        replica.close()


def total(replica: Replica, search: str = "person") -> int:
    replica.catch_up(Deadline.after(REQUEST_BUDGET))
    return replica.users(UserQuery(search=search)).total


def the_file(folder: Path) -> Path:
    (path,) = folder.glob("replicas/*.sqlite3")
    return path


def garble_the_start(path: Path) -> None:
    path.write_bytes(b"no database at all, but a fairly long text" * 1000)


def garble_the_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(os.urandom(path.stat().st_size // 3))


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def age(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {schema.FORMAT - 1}")


def give_to_another_tenant(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE position SET tenant_id = ?", (str(uuid.uuid4()),))


def let_another_program_write_it(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE something (else_)")


@pytest.mark.parametrize(
    "harm",
    [
        garble_the_start,
        garble_the_middle,
        cut_off,
        empty,
        age,
        give_to_another_tenant,
        let_another_program_write_it,
    ],
)
def test_a_file_that_is_no_good_is_thrown_away_and_built_again(
    ledger: PlainLedger, open_replica: Callable[[], Replica], tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    first = open_replica()
    assert total(first) == 199
    first.close()
    spoilt = the_file(tmp_path)
    harm(spoilt)

    assert total(open_replica()) == 199
    assert the_file(tmp_path) != spoilt


class TidiedFolder(PlainLedger):
    """Somebody else empties the folder of temporary files while a replica is being filled."""

    def __init__(self, folder: Path, times: int) -> None:
        super().__init__(TENANT)
        self._folder = folder
        self.times = times

    def replicated_rows(self, kind: type[Record]) -> Iterator[Row]:
        yield from super().replicated_rows(kind)
        if kind is Group and self.times:
            self.times -= 1
            for path in self._folder.glob("*.sqlite3*"):
                path.unlink()


def test_a_file_that_is_deleted_while_it_is_built_is_built_again(tmp_path: Path) -> None:
    ledger = TidiedFolder(tmp_path, times=1)
    ledger.commit(*(user(n, f"Person {n}") for n in range(1, 200)))
    with contextlib.closing(Replica(ledger, tmp_path, TENANT)) as replica:
        assert total(replica) == 199
    assert ledger.times == 0


def test_a_folder_that_is_emptied_again_and_again_says_to_try_later(tmp_path: Path) -> None:
    ledger = TidiedFolder(tmp_path, times=2)
    ledger.commit(user(1, "Person 1"))
    with contextlib.closing(Replica(ledger, tmp_path, TENANT)) as replica:
        with pytest.raises(ReplicaBuilding):
            total(replica)
        assert total(replica) == 1


@pytest.mark.parametrize("harm", [garble_the_start, garble_the_middle])
def test_damage_that_shows_while_reading_is_mended_before_the_answer(
    ledger: PlainLedger, open_replica: Callable[[], Replica], tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    first = open_replica()
    assert total(first) == 199
    first.close()
    second = open_replica()
    second.catch_up(Deadline.after(REQUEST_BUDGET))
    spoilt = the_file(tmp_path)
    harm(spoilt)

    assert second.users(UserQuery(search="person")).total == 199
    assert second.users(UserQuery()).total == 199
    ledger.commit(user(200, "Person 200"))
    assert total(second) == 200


def test_a_deleted_file_or_folder_is_noticed_by_every_process(
    ledger: PlainLedger, open_replica: Callable[[], Replica], tmp_path: Path
) -> None:
    first, second = open_replica(), open_replica()
    assert (total(first), total(second)) == (199, 199)

    for path in tmp_path.glob("replicas/*"):
        path.unlink()
    ledger.commit(user(200, "Person 200"))
    assert (total(first), total(second)) == (200, 200)

    shutil.rmtree(tmp_path / "replicas")
    assert (total(second), total(first)) == (200, 200)
    assert the_file(tmp_path)


def test_what_a_killed_builder_left_behind_is_swept(
    ledger: PlainLedger, open_replica: Callable[[], Replica], tmp_path: Path
) -> None:
    folder = ReplicaFolder(tmp_path / "replicas", TENANT)
    with folder.building(Deadline.after(REQUEST_BUDGET)):
        half = folder.new_path()
        schema.create(half, TENANT).close()

    assert total(open_replica()) == 199
    assert the_file(tmp_path) != half


def test_a_builder_is_waited_for_until_the_deadline(
    ledger: PlainLedger, open_replica: Callable[[], Replica], tmp_path: Path
) -> None:
    folder = ReplicaFolder(tmp_path / "replicas", TENANT)
    with folder.building(Deadline.after(REQUEST_BUDGET)), pytest.raises(ReplicaBuilding):
        open_replica().catch_up(Deadline.after(REQUEST_BUDGET / 300))

    assert total(open_replica()) == 199


def test_another_history_is_noticed_even_at_the_same_position(
    ledger: PlainLedger, open_replica: Callable[[], Replica]
) -> None:
    replica = open_replica()
    ledger.commit(user(200, "Person 200"))
    assert total(replica) == 200

    restored = PlainLedger(TENANT)
    restored.commit(user(1, "Person from a backup"))
    ledger.records, ledger.log_rows = restored.records, restored.log_rows
    assert total(replica) == 1  # fewer log rows than before

    other = PlainLedger(TENANT)
    other.commit(user(1, "Person one"), user(2, "Person two"))
    ledger.records, ledger.log_rows = other.records, other.log_rows
    assert total(replica) == 2  # as many log rows as before

    longer = PlainLedger(TENANT)
    for n in range(1, 4):
        longer.commit(user(n, f"Person {n}"))
    ledger.records, ledger.log_rows = longer.records, longer.log_rows
    assert total(replica) == 3  # more, but not ours


def test_what_a_purge_took_out_of_the_log_is_read_from_the_table(
    ledger: PlainLedger, open_replica: Callable[[], Replica]
) -> None:
    replica = open_replica()
    assert total(replica) == 199
    ledger.commit(user(7, "Secret Name"))
    ledger.commit(user(7, "Purged"))
    ledger.purge_from_log(user(7).key)

    assert total(replica, "secret") == 0
    assert total(replica, "purged") == 1


def test_threads_that_ask_at_the_same_time_share_one_read_of_the_head(
    ledger: PlainLedger, open_replica: Callable[[], Replica]
) -> None:
    replica = open_replica()
    assert total(replica) == 199
    reads, head = ledger.head_reads, ledger.head
    first_is_in, go_on = threading.Event(), threading.Event()

    def slow_head() -> object:
        first_is_in.set()
        go_on.wait(10)
        return head()

    ledger.head = slow_head  # type: ignore[method-assign,assignment]
    threads = [threading.Thread(target=total, args=(replica,)) for _ in range(8)]
    threads[0].start()
    first_is_in.wait(10)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join()

    assert ledger.head_reads - reads <= 3  # the first; one more for all who came after it had asked; and luck


def test_a_large_replica_is_built_in_the_background(
    ledger: PlainLedger, open_replica: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "LARGE", 10)
    ledger.commit(certificate(1, user_id=17))
    may_build, rows = threading.Event(), ledger.replicated_rows

    def slow_rows(kind: type[Record]) -> Iterator[Row]:
        may_build.wait(10)
        return rows(kind)

    ledger.replicated_rows = slow_rows  # type: ignore[method-assign]
    replica = open_replica()
    replica.catch_up(Deadline.after(REQUEST_BUDGET))

    page = replica.users(UserQuery(page=2, per_page=15))
    assert ([found.id for found in page.items], page.total) == (list(range(16, 31)), 199)
    assert replica.users(UserQuery(page=14)).items[-1].id == 199
    assert replica.users(UserQuery(page=15)).items == ()
    for refused in (UserQuery(search="person"), UserQuery(active=True), UserQuery(sort="name")):
        with pytest.raises(ReplicaBuilding):
            replica.users(refused)
    with pytest.raises(ReplicaBuilding) as building:
        replica.statistics(NOW)
    assert building.value.retry_after

    may_build.set()
    replica.prepare(Deadline.after(REQUEST_BUDGET))
    assert replica.users(UserQuery(search="person")).total == 199
    assert replica.statistics(NOW).certificates.active == 1


def test_a_file_is_copied_only_when_all_of_it_is_in_one_place(
    ledger: PlainLedger, open_replica: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(schema, "BUSY_TIMEOUT", timedelta(seconds=0.1))
    monkeypatch.setattr(files, "_FREEZE_ATTEMPTS", 2)
    replica = open_replica()
    assert total(replica) == 199
    ledger.commit(user(200, "Person 200"))
    file = files.ReplicaFile(the_file(tmp_path))

    with file.reading() as reader:
        assert reader.execute("SELECT seq FROM position").fetchone() == (1,)
        assert total(replica) == 200  # stays in the write-ahead log for as long as somebody reads what was before
        with pytest.raises(ReplicaBuilding), file.frozen():
            pass

    with file.frozen() as (seq, _):
        ledger.commit(user(201, "Person 201"))
        assert total(replica) == 201
        shutil.copy(file.path, tmp_path / "copy.sqlite3")
    file.close()
    with sqlite3.connect(tmp_path / "copy.sqlite3") as copy:
        assert copy.execute("SELECT seq, (SELECT count(*) FROM users) FROM position").fetchone() == (seq, 200)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_blocks_that_everybody_has_left_are_dropped(
    ledger: PlainLedger, open_replica: Callable[[], Replica], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ranks, "BLOCK_SIZE", 4)
    monkeypatch.setattr(ranks, "LARGEST_BLOCK", 8)
    replica = open_replica()
    for day in range(10):
        ledger.commit(*(user(n, f"Person {n}", synced_at=NOW + timedelta(days=day)) for n in range(1, 200)))
        assert total(replica) == 199

    with sqlite3.connect(the_file(tmp_path)) as connection:
        blocks = connection.execute("SELECT sort, count(*), sum(size) FROM blocks GROUP BY 1").fetchall()
    assert all(count < 100 and users == 199 for _, count, users in blocks), blocks


def test_sqlite_without_fts5_is_named() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TEMP TABLE pragma_module_list (name)")  # hides SQLite's own list of modules

    with pytest.raises(ReplicaUnavailable, match=f"{sqlite3.sqlite_version} without it"):
        schema.require_fts5(connection)


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from shared.context import REQUEST_BUDGET, Deadline
    from shared.directory.replica.errors import ReplicaUnavailable
    from shared.directory.replica.queries import UserQuery
    from shared.directory.replica.replica import Replica
    from tests.support.people import user
    from tests.support.plain_ledger import PlainLedger

    def allow(bytes_a_file):
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, resource.RLIM_INFINITY))

    def catch_up():
        try:
            replica.catch_up(Deadline.after(REQUEST_BUDGET))
            return "caught up"
        except ReplicaUnavailable as error:
            return str(error)

    folder, tenant_id, before, room = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    ledger = PlainLedger(tenant_id)
    replica = Replica(ledger, folder, tenant_id)
    if before:
        ledger.commit(*(user(n, f"Person {n}") for n in range(1, before)))
        assert catch_up() == "caught up"
    ledger.commit(*(user(n, f"Person {n}") for n in range(before + 1, before + 4000)))
    allow(room)
    print(catch_up())
    print(*(path.name for path in folder.glob("*building*")))
    allow(resource.RLIM_INFINITY)
    print(catch_up())
    print(replica.users(UserQuery()).total)
"""


@pytest.mark.parametrize(("before", "room"), [(0, 300_000), (20, 400_000)], ids=["building", "catching up"])
def test_a_full_disk_is_named_and_does_no_lasting_harm(tmp_path: Path, before: int, room: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), tmp_path, TENANT, str(before), str(room)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    refused, left_behind, then, users = run.stdout.splitlines()
    assert "temporary folder does not take the search index" in refused
    assert "400 MB" in refused
    assert left_behind == ""
    assert then == "caught up"
    assert int(users) == (before or 1) - 1 + 3999
