"""The replica on a real ledger and real blobs: built from tables, from a snapshot or fed directly, it is the same."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from benchmarks.population import certificates, users
from local.azurite.azurite import Azurite
from shared.context import REQUEST_BUDGET, Actor, ActorKind, Context, Deadline
from shared.directory import partition
from shared.directory.blobs import BlobStore
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.reader import DirectoryReader
from shared.directory.records.base import Record
from shared.directory.records.certificate import Certificate, UserCertificate
from shared.directory.records.user import User
from shared.directory.replica import schema, source
from shared.directory.replica.files import ReplicaFile
from shared.directory.replica.queries import CertificateQuery, UserQuery
from shared.directory.replica.replica import Replica
from shared.directory.replica.snapshots import SnapshotStore
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.people import NOW
from tests.support.plain_ledger import PlainLedger

USERS, CERTIFICATES = 800, 200
SOME_QUERIES = (
    UserQuery(),
    UserQuery(page=30, per_page=20, sort="name"),
    UserQuery(page=3, active=False, sort="synced_at"),
    UserQuery(search="a", per_page=100),
    UserQuery(search="contoso", sort="name", page=7),
    UserQuery(search="garcia"),
    UserQuery(search="nothing at all"),
    UserQuery(synced_since=NOW.replace(month=5), active=True, page=2),
)


@pytest.fixture
def people() -> list[Record]:
    return [*users(USERS), *certificates(CERTIFICATES, USERS)]


@pytest.fixture
def open_replica(tmp_path: Path, tenant_id: str) -> Iterator[Callable[..., Replica]]:
    """Each one is a young instance, with a temp folder of its own."""
    opened: list[Replica] = []

    def open_replica(feed: source.Source, snapshots: SnapshotStore | None = None) -> Replica:
        folder = tmp_path / str(len(opened))
        opened.append(Replica(feed, folder, tenant_id, clock=lambda: NOW, snapshots=snapshots))
        return opened[-1]

    yield open_replica
    for replica in opened:
        replica.close()


@pytest.fixture
def snapshots(azurite: Azurite, tables: TableStore, tenant_id: str) -> SnapshotStore:
    blobs = BlobStore.from_connection_string(azurite.connection_string, f"snapshots-{tenant_id}")
    blobs.create_if_missing()
    return SnapshotStore(blobs, StateStore(tables, tenant_id), tenant_id)


def write(ledger: Ledger, records: list[Record], *, new: bool = True) -> None:
    """One request a record, as few transactions as carry them."""

    def request(record: Record) -> Request[None]:
        def decide(tx: Transaction) -> None:
            if new and record.SEQUENCE:
                assert tx.next_id(record.SEQUENCE) == int(record.key.rpartition("|")[2])
            tx.put(record)
            if isinstance(record, Certificate) and record.user_id:
                tx.put(UserCertificate(user_id=record.user_id, certificate_id=record.id, not_after=record.not_after))

        return Request("test.changed", Context(Actor(ActorKind.OPERATOR, "test"), "request"), decide)

    for result in ledger.commit_all([request(record) for record in records], Deadline.after(4 * REQUEST_BUDGET)):
        assert not isinstance(result, Exception), result


def answers(replica: Replica) -> list[object]:
    replica.prepare(Deadline.after(REQUEST_BUDGET))
    return [
        *(replica.users(query) for query in SOME_QUERIES),
        replica.certificates(CertificateQuery(page=3)),
        replica.active_certificates(range(1, 200)),
        replica.statistics(NOW),
    ]


@pytest.fixture
def spied(azurite: Azurite, ledger: Ledger) -> Iterator[tuple[Ledger, list[tuple[str, str]]]]:
    """The same ledger, and the method and path of each request that it sends from now on."""
    with FaultProxy(azurite.table_port, lambda *_: Fault.NONE) as proxy:
        tables = TableStore.from_connection_string(proxy.connection_string(azurite.connection_string), "directory")
        yield Ledger(tables, ledger.tenant_id), proxy.requests


def in_use(replica: Replica) -> ReplicaFile:
    assert replica._file
    return replica._file


def test_tables_log_and_plain_objects_give_the_same_answers(
    ledger: Ledger, tenant_id: str, people: list[Record], open_replica: Callable[..., Replica]
) -> None:
    fed_directly = PlainLedger(tenant_id)
    fed_directly.commit(*people)
    follower = open_replica(ledger)
    follower.catch_up(Deadline.after(REQUEST_BUDGET))
    write(ledger, people)

    from_the_log = answers(follower)
    from_the_tables = answers(open_replica(ledger))

    assert from_the_log == from_the_tables == answers(open_replica(fed_directly))


def test_a_file_that_was_copied_gives_the_same_answers_and_follows_the_log(
    ledger: Ledger, people: list[Record], open_replica: Callable[..., Replica]
) -> None:
    write(ledger, people)
    replica = open_replica(ledger)
    expected = answers(replica)
    original = in_use(replica)

    replica._keeper.replace(original)
    replica._keeper.wait(Deadline.after(REQUEST_BUDGET))

    assert not original.path.exists()
    assert answers(replica) == expected
    assert in_use(replica) is not original
    write(ledger, [replace(user, name=f"New {user.name}") for user in users(50)], new=False)
    assert answers(replica) == answers(open_replica(ledger))


def test_every_table_of_rows_is_copied(ledger: Ledger, open_replica: Callable[..., Replica]) -> None:
    replica = open_replica(ledger)
    replica.prepare(Deadline.after(REQUEST_BUDGET))
    with in_use(replica).reading() as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    of_the_index = {name for name in tables if name.startswith("trigram")}
    assert tables - of_the_index - {"purges"} == set(schema.ROWS)


def test_while_a_large_replica_is_built_the_table_gives_the_same_pages(
    ledger: Ledger, people: list[Record], open_replica: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ledger, people)
    ready = open_replica(ledger)
    ready.prepare(Deadline.after(REQUEST_BUDGET))
    monkeypatch.setattr(source, "LARGE", 10)
    compared = threading.Event()
    monkeypatch.setattr("shared.directory.replica.keeping.build", lambda *_: compared.wait(60))

    young = open_replica(ledger)
    young.catch_up(Deadline.after(REQUEST_BUDGET))

    for query in (UserQuery(), UserQuery(page=40, per_page=20), UserQuery(page=10**6)):
        assert young.users(query) == ready.users(query)
    owners = list(range(1, 30))
    assert young.active_certificates(owners) == ready.active_certificates(owners)
    for owner in owners:
        assert young.certificates(CertificateQuery(user_id=owner)) == ready.certificates(
            CertificateQuery(user_id=owner)
        )


def test_a_read_costs_one_point_read_while_nothing_changes(
    ledger: Ledger,
    people: list[Record],
    open_replica: Callable[..., Replica],
    spied: tuple[Ledger, list[tuple[str, str]]],
) -> None:
    write(ledger, people[:20])
    watched, requests = spied
    reader = DirectoryReader(watched, open_replica(watched), lambda: None)
    reader.users(UserQuery(), Deadline.after(REQUEST_BUDGET))

    requests.clear()
    reader.users(UserQuery(search="a", per_page=100), Deadline.after(REQUEST_BUDGET))
    ((method, path),) = requests
    assert method == "GET" and "RowKey='head'" in unquote(path)

    requests.clear()
    write(ledger, people[20:40])
    assert reader.users(UserQuery(), Deadline.after(REQUEST_BUDGET)).page.total == 40
    assert len(requests) == 2  # the head, and the log rows since


def test_while_a_large_replica_is_built_a_page_takes_no_query_for_each_user(
    ledger: Ledger,
    people: list[Record],
    open_replica: Callable[..., Replica],
    spied: tuple[Ledger, list[tuple[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(ledger, people)
    monkeypatch.setattr(source, "LARGE", 10)
    may_build = threading.Event()
    monkeypatch.setattr("shared.directory.replica.keeping.build", lambda *_: may_build.wait(60))
    watched, requests = spied
    reader = DirectoryReader(watched, open_replica(watched), lambda: None)

    requests.clear()
    found = reader.users(UserQuery(per_page=100), Deadline.after(REQUEST_BUDGET))
    may_build.set()

    assert len(found.page.items) == 100 and found.certificates
    queries = [path for _, path in requests if "RowKey='" not in unquote(path)]
    assert len(queries) < 5  # users, the index of their certificates, ranges of certificates


def test_the_tables_are_read_in_parallel_and_only_what_is_repeated(
    azurite: Azurite,
    ledger: Ledger,
    people: list[Record],
    open_replica: Callable[..., Replica],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(ledger, people)
    monkeypatch.setattr(partition, "ID_RANGE", 100)
    three_at_once, ranges = threading.Barrier(3, timeout=60), list[str]()

    def meet(method: str, path: str) -> Fault:
        if "RowKey ge 'user|" in unquote(path):
            ranges.append(unquote(path))
            three_at_once.wait()
        return Fault.NONE

    with FaultProxy(azurite.table_port, meet) as proxy:
        tables = TableStore.from_connection_string(proxy.connection_string(azurite.connection_string), "directory")
        young = open_replica(Ledger(tables, ledger.tenant_id))
        young.prepare(Deadline.after(REQUEST_BUDGET))

    assert young.users(UserQuery()).total == USERS
    assert len(ranges) == 9
    assert all(f"$select=RowKey,{','.join(User.REPLICATED)}" in path for path in ranges), ranges[0]


def test_a_young_instance_of_a_large_directory_starts_from_a_snapshot_and_the_log(
    ledger: Ledger,
    people: list[Record],
    snapshots: SnapshotStore,
    open_replica: Callable[..., Replica],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "LARGE", 10)
    write(ledger, people)
    old_instance = open_replica(ledger, snapshots)
    published = old_instance.publish_snapshot(Deadline.after(REQUEST_BUDGET))
    assert published and published.seq == ledger.head().seq
    assert old_instance.publish_snapshot(Deadline.after(REQUEST_BUDGET)) is None  # nothing is new
    write(ledger, [replace(user, name=f"New {user.name}") for user in users(50)], new=False)
    expected = answers(old_instance)

    monkeypatch.setattr("shared.directory.replica.keeping.build", lambda *_: pytest.fail("it was built"))
    assert answers(open_replica(ledger, snapshots)) == expected


def test_old_snapshots_go_and_the_last_but_one_stays_for_those_who_read_it(
    ledger: Ledger,
    people: list[Record],
    snapshots: SnapshotStore,
    open_replica: Callable[..., Replica],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "LARGE", 0)
    monkeypatch.setattr("shared.directory.replica.snapshots.MOST_LOG_ROWS", 0)
    replica = open_replica(ledger, snapshots)
    published = []
    for record in people[:3]:
        write(ledger, [record])
        snapshot = replica.publish_snapshot(Deadline.after(REQUEST_BUDGET))
        assert snapshot
        published.append(snapshot)

    assert snapshots.latest() == published[-1]
    assert [blob.name for blob in snapshots._blobs.list("replica/")] == [published[-2].name, published[-1].name]


@pytest.mark.parametrize("harm", ["damaged", "missing", "of another history"])
def test_a_snapshot_that_is_no_good_is_passed_over(
    ledger: Ledger,
    tenant_id: str,
    people: list[Record],
    snapshots: SnapshotStore,
    open_replica: Callable[..., Replica],
    monkeypatch: pytest.MonkeyPatch,
    harm: str,
) -> None:
    monkeypatch.setattr(source, "LARGE", 10)
    write(ledger, people)
    first = open_replica(ledger, snapshots)
    published = first.publish_snapshot(Deadline.after(REQUEST_BUDGET))
    assert published
    if harm == "of another history":  # as after a restore of the tables only
        other = PlainLedger(tenant_id)
        other.commit(*people[:20])
        stranger = open_replica(other, snapshots)
        stranger.prepare(Deadline.after(REQUEST_BUDGET))
        snapshots.publish(in_use(stranger))
    else:
        snapshots._blobs.delete(published.name)
    if harm == "damaged":
        snapshots._blobs.put_new(published.name, b"no snapshot")

    assert answers(open_replica(ledger, snapshots)) == answers(first)


def test_a_snapshot_taken_while_others_write_is_whole(
    ledger: Ledger,
    people: list[Record],
    snapshots: SnapshotStore,
    open_replica: Callable[..., Replica],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "LARGE", 10)
    write(ledger, people)
    busy = open_replica(ledger, snapshots)
    busy.prepare(Deadline.after(REQUEST_BUDGET))
    stop = threading.Event()

    def change_on() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            write(ledger, [replace(user, name=f"{number} {user.name}") for user in users(20)], new=False)
            busy.catch_up(Deadline.after(REQUEST_BUDGET))

    writer = threading.Thread(target=change_on)
    writer.start()
    try:
        time.sleep(0.3)
        published = busy.publish_snapshot(Deadline.after(REQUEST_BUDGET))
    finally:
        stop.set()
        writer.join()

    assert published and published.seq < ledger.head().seq
    monkeypatch.setattr("shared.directory.replica.keeping.build", lambda *_: pytest.fail("it was built"))
    assert answers(open_replica(ledger, snapshots)) == answers(busy)
