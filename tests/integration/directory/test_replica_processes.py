"""Processes of one instance share a replica file: no read is stale, whoever is killed, whatever is deleted."""

import contextlib
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from local.azurite.azurite import Azurite
from shared.context import REQUEST_BUDGET, Actor, ActorKind, Context, Deadline
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.base import Record
from shared.directory.replica.queries import UserQuery
from shared.directory.replica.replica import Replica
from tests.support.directory_model import DirectoryModel
from tests.support.people import NOW, user
from tests.support.random_people import some_records

RACES = 300
KILLS = 10
MOST_IDS = 400


class Worker:
    """A `tests.support.replica_worker` process."""

    def __init__(self, azurite: Azurite, tenant_id: str, folder: Path) -> None:
        arguments = [azurite.connection_string, tenant_id, str(folder)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.replica_worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, line: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def end(self) -> str:
        """Kills it; returns what it complained of."""
        self.process.kill()
        return self.process.communicate()[1]


@pytest.fixture
def start(azurite: Azurite, tenant_id: str, tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker(azurite, tenant_id, tmp_path))
        return workers[-1]

    yield start
    for worker in workers:
        if worker.process.poll() is None:
            worker.end()


def commit(ledger: Ledger, decide: Callable[[Transaction], None]) -> None:
    context = Context(Actor(ActorKind.OPERATOR, "test"), "request")
    ledger.commit(Request("test.changed", context, decide), Deadline.after(REQUEST_BUDGET))


def put(ledger: Ledger, *records: Record) -> None:
    def decide(tx: Transaction) -> None:
        for record in records:
            tx.put(record)

    commit(ledger, decide)


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    """With all ids of users and certificates given out that the tests use; the rows may come in any order."""

    def take_ids(tx: Transaction) -> None:
        for _ in range(MOST_IDS):
            tx.next_id("user")
            tx.next_id("certificate")

    commit(ledger, take_ids)
    return ledger


def test_a_reader_sees_what_was_committed_before_it_began_from_any_process(
    ledger: Ledger, start: Callable[[], Worker]
) -> None:
    readers = [start() for _ in range(3)]
    spinner = start()
    assert {worker.answer() for worker in (*readers, spinner)} == {"ready"}
    spinner.ask("spin")
    chance = random.Random(8)
    wrong: list[str] = []

    def race(reader: Worker, lane: int) -> None:
        for number in range(RACES // len(readers)):
            word = f"needle {lane} {number}."
            put(ledger, user(100 * lane + chance.randint(1, 50), f"Person {word}"))
            if (found := reader.ask(f"find {word}")) != "1":
                wrong.append(f"{word}: {found}")

    lanes = [threading.Thread(target=race, args=(reader, lane)) for lane, reader in enumerate(readers, 1)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()

    assert not wrong
    assert spinner.process.poll() is None, spinner.end()


def test_killed_processes_and_deleted_files_leave_no_wrong_answer(
    ledger: Ledger, start: Callable[[], Worker], tenant_id: str, tmp_path: Path
) -> None:
    chance = random.Random(88)
    records: dict[str, Record] = {}
    stop, pause = threading.Event(), threading.Lock()

    def commit_on() -> None:
        while not stop.wait(0.02):
            changed = some_records(chance, MOST_IDS, most_users=30)
            with pause:
                put(ledger, *changed)
                records.update({record.key: record for record in changed})

    def compare() -> None:
        """While nobody commits, though others read and are killed."""
        with pause, contextlib.closing(Replica(ledger, tmp_path, tenant_id, clock=lambda: NOW)) as replica:
            replica.catch_up(Deadline.after(REQUEST_BUDGET))
            _compare(replica, DirectoryModel(records))

    writer = threading.Thread(target=commit_on)
    writer.start()
    complaints = []
    try:
        survivor = start()
        survivor.answer()
        survivor.ask("spin")
        for number in range(KILLS):
            victim = start()
            if number % 4 == 0:
                for path in tmp_path.glob("*.sqlite3*"):
                    path.unlink(missing_ok=True)
            if victim.answer() == "ready":
                victim.ask("spin")
                stop.wait(chance.uniform(0.0, 0.2))
            complaints.append(victim.end())
            if number % 10 == 0:
                compare()
        complaints.append(survivor.end())
    finally:
        stop.set()
        writer.join()

    assert not [complaint for complaint in complaints if "Error" in complaint]
    compare()


def _compare(replica: Replica, model: DirectoryModel) -> None:
    for search in (None, "e", "la", "éva", "j", "stefan s", "王", "%", "'"):
        for query in (UserQuery(search=search), UserQuery(search=search, active=False, sort="name", page=2)):
            page, expected = replica.users(query), model.users(query)
            assert ([found.id for found in page.items], page.total) == (expected.ids, expected.total), query
    statistics = replica.statistics(NOW)
    assert asdict(statistics.users) == model.user_statistics(NOW)
    assert asdict(statistics.certificates) == model.certificate_statistics(NOW)
