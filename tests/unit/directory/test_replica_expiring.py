"""Finding due notices costs what is due, however many certificates there are."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from shared.directory.replica import schema
from shared.directory.replica.expiring import due_notices
from shared.directory.replica.queries import DueNotice
from shared.directory.replica.values import pack_time

NOW = datetime(2030, 6, 15, 12, tzinfo=UTC)
DAYS = (30, 14, 7)
COLUMNS = (
    "id, kind, user_id, certificate_type, status, issuer_number, serial_number, subject, not_before, not_after, "
    "key_type, key_size, key_origin, created_at, updated_at, renewed_by, notice_days"
)


@pytest.fixture
def replica() -> Iterator[sqlite3.Connection]:
    """The certificates' table of a replica file, empty."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema.TABLES)
    for statement in schema.INDEXES:
        connection.execute(statement)
    yield connection
    connection.close()


def add(
    replica: sqlite3.Connection,
    certificate_id: int,
    *,
    life: int,
    days_left: float,
    noticed: int | None = None,
    status: str = "issued",
    renewed_by: int | None = None,
) -> None:
    end = NOW + timedelta(days=days_left)
    start = end - timedelta(days=life) + timedelta(seconds=1)
    values = (certificate_id, "entra_user", 1, "client_auth", status, 1, certificate_id.to_bytes(20, "big"), "CN=x")
    times = (pack_time(start), pack_time(end), "P-256", 256, "csr", 0, 0, renewed_by, noticed)
    replica.execute(f"INSERT INTO certificates ({COLUMNS}) VALUES ({', '.join('?' * 17)})", (*values, *times))


def steps(replica: sqlite3.Connection) -> int:
    """Hundreds of SQLite's virtual machine steps that a search takes."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    replica.set_progress_handler(tick, 100)
    due_notices(replica, DAYS, NOW, 500)
    replica.set_progress_handler(None, 0)
    return count


def test_each_is_due_for_the_nearest_threshold_that_it_has_not_been_told_of(replica: sqlite3.Connection) -> None:
    add(replica, 1, life=365, days_left=29)
    add(replica, 2, life=365, days_left=13, noticed=30)
    add(replica, 3, life=365, days_left=6)
    add(replica, 4, life=365, days_left=20, noticed=30)
    add(replica, 5, life=365, days_left=40)
    add(replica, 6, life=365, days_left=-1)
    add(replica, 7, life=365, days_left=5, status="held")
    add(replica, 8, life=14, days_left=10)
    add(replica, 9, life=15, days_left=10)

    found = due_notices(replica, DAYS, NOW, 500)

    assert sorted(found, key=lambda each: each.certificate_id) == [
        DueNotice(1, 30),
        DueNotice(2, 14),
        DueNotice(3, 7),
        DueNotice(9, 14),
    ]
    assert len(due_notices(replica, DAYS, NOW, 2)) == 2


def test_one_with_a_live_successor_is_not_due(replica: sqlite3.Connection) -> None:
    for number, (successor, status) in enumerate({11: "issued", 12: "held", 13: "revoked", 14: "pending"}.items(), 1):
        add(replica, number, life=365, days_left=5, renewed_by=successor)
        add(replica, successor, life=365, days_left=365, status=status)

    assert [each.certificate_id for each in due_notices(replica, DAYS, NOW, 500)] == [3, 4]


def test_the_search_takes_as_long_in_a_hundred_times_as_many_certificates(replica: sqlite3.Connection) -> None:
    def fill(first: int, last: int) -> None:
        for number in range(first, last):
            left = number % 360
            told = next((days for days in sorted(DAYS) if left < days), None)
            add(replica, 2 * number, life=365, days_left=left + 0.5, noticed=told)
            add(replica, 2 * number + 1, life=7, days_left=number % 7)

    add(replica, 1, life=365, days_left=10)
    fill(10, 200)
    few = steps(replica)
    fill(200, 20_000)

    assert steps(replica) <= few + 1
    assert due_notices(replica, DAYS, NOW, 500) == [DueNotice(1, 14)]
