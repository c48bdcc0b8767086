"""Whatever befalls a replica between two reads, each read answers as a plain look at every record would."""

import random
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from shared.context import REQUEST_BUDGET, Deadline
from shared.directory.errors import StorageUnavailable
from shared.directory.log import LogRow
from shared.directory.records.base import Record, Row
from shared.directory.replica import following, ranks
from shared.directory.replica.queries import RevokedCertificate
from shared.directory.replica.replica import Replica
from tests.support.directory_model import DirectoryModel
from tests.support.directory_strategies import ISSUERS
from tests.support.people import NOW
from tests.support.plain_ledger import PlainLedger
from tests.support.random_people import a_certificate_query, a_user_query, some_records
from tests.support.replica_comparison import assert_agrees

T = TypeVar("T")

MOST_IDS = 30
WORKERS = 2
workers = st.integers(0, WORKERS - 1)
chances = st.integers(0, 2**32).map(random.Random)


class FailingLedger(PlainLedger):
    """Fails after handing out `rows_left` more rows; None: never."""

    rows_left: int | None = None

    def log(self, after: int, until: int | None = None) -> Iterator[LogRow]:
        return self._counted(super().log(after, until))

    def replicated_rows(self, kind: type[Record]) -> Iterator[Row]:
        return self._counted(super().replicated_rows(kind))

    def _counted(self, rows: Iterator[T]) -> Iterator[T]:
        for row in rows:
            if self.rows_left is not None:
                if self.rows_left == 0:
                    raise StorageUnavailable("The storage service did not answer.")
                self.rows_left -= 1
            yield row


class ReplicaStory(RuleBasedStateMachine):
    """The worker processes of an instance, here objects, share a folder while the directory changes."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = ExitStack()
        patch = self.ends.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(ranks, "BLOCK_SIZE", 2)
        patch.setattr(ranks, "LARGEST_BLOCK", 4)
        patch.setattr(following, "CHANGES_A_TRANSACTION", 3)
        self.folder = Path(self.ends.enter_context(tempfile.TemporaryDirectory()))
        self.ledger = FailingLedger(str(uuid.uuid4()))
        self.replicas = [self._opened() for _ in range(WORKERS)]
        self.past: list[dict[str, Record]] = [{}]  # by log position
        self.slow_reader: tuple[ExitStack, Iterator[RevokedCertificate], list[object]] | None = None

    @rule(chance=chances)
    def commit(self, chance: random.Random) -> None:
        self._commit(*some_records(chance, MOST_IDS, most_users=5))

    @rule(chance=chances)
    def delete_some(self, chance: random.Random) -> None:
        keys = [key for key in self.ledger.records if chance.random() < 0.2]
        self._commit(deleted=keys)

    @rule(worker=workers, chance=chances)
    def read(self, worker: int, chance: random.Random) -> None:
        replica = self.replicas[worker]
        replica.catch_up(Deadline.after(REQUEST_BUDGET))
        queries = [a_user_query(chance) for _ in range(4)]
        certificate_queries = [a_certificate_query(chance) for _ in range(2)]
        assert_agrees(replica, DirectoryModel(self.ledger.records), queries, certificate_queries)

    @rule(worker=workers, rows=st.integers(0, 12))
    def lose_storage_while_catching_up(self, worker: int, rows: int) -> None:
        self.ledger.rows_left = rows
        with suppress(StorageUnavailable):
            self.replicas[worker].catch_up(Deadline.after(REQUEST_BUDGET))
        self.ledger.rows_left = None

    @rule(worker=workers)
    def start_another_worker(self, worker: int) -> None:
        self.replicas[worker].close()
        self.replicas[worker] = self._opened()

    @rule()
    def empty_the_folder(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()

    @rule(lost=st.integers(1, 4), others=st.integers(0, 5), chance=chances)
    def restore_the_storage(self, lost: int, others: int, chance: random.Random) -> None:
        """The last commits are lost, and others take their place."""
        kept = max(0, len(self.ledger.log_rows) - lost)
        self.ledger.records, self.ledger.log_rows = dict(self.past[kept]), self.ledger.log_rows[:kept]
        del self.past[kept + 1 :]
        for _ in range(others):
            self._commit(*some_records(chance, MOST_IDS, most_users=5))

    @precondition(lambda self: self.slow_reader is None)
    @rule(worker=workers)
    def begin_a_slow_read(self, worker: int) -> None:
        replica, end = self.replicas[worker], ExitStack()
        replica.catch_up(Deadline.after(REQUEST_BUDGET))
        _, entries = end.enter_context(replica.revoked_certificates(ISSUERS[0]))
        self.slow_reader = end, entries, list(DirectoryModel(self.ledger.records).revoked(ISSUERS[0]))

    @precondition(lambda self: self.slow_reader is not None)
    @rule()
    def end_the_slow_read(self) -> None:
        assert self.slow_reader
        end, entries, expected = self.slow_reader
        self.slow_reader = None
        with end:
            assert [(entry.serial_number, entry.reason) for entry in entries] == expected

    def teardown(self) -> None:
        if self.slow_reader:
            self.end_the_slow_read()
        for replica in self.replicas:
            replica.close()
        self.ends.close()

    def _commit(self, *records: Record, deleted: Sequence[str] = ()) -> None:
        self.ledger.commit(*records, deleted=deleted)
        self.past.append(dict(self.ledger.records))

    def _opened(self) -> Replica:
        return Replica(self.ledger, self.folder, self.ledger.tenant_id, clock=lambda: NOW)


TestReplicaStory = ReplicaStory.TestCase
TestReplicaStory.settings = settings(max_examples=60, stateful_step_count=35, deadline=None)
