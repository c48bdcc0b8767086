"""Connections to a key store are few, are used by one thread at a time, and are waited for until the deadline."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count

import pytest

from shared.context import Deadline
from shared.pki.errors import BackendThrottled, BackendTimeout
from shared.pki.signing.pool import Pool


def soon() -> Deadline:
    return Deadline.after(timedelta(seconds=20))


@pytest.fixture
def numbers() -> Iterator[int]:
    return count()


def test_a_free_connection_is_lent_again_before_another_is_made(numbers: Iterator[int]) -> None:
    pool = Pool(3, lambda: next(numbers))

    lent = []
    for _ in range(5):
        with pool.borrow(soon()) as connection:
            lent.append(connection)

    assert lent == [0] * 5


def test_threads_never_share_a_connection_nor_have_more_than_its_size(numbers: Iterator[int]) -> None:
    pool = Pool(3, lambda: next(numbers))
    in_use: set[int] = set()
    most = 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal most
        with pool.borrow(soon()) as connection:
            with lock:
                assert connection not in in_use
                in_use.add(connection)
                most = max(most, len(in_use))
            time.sleep(0.002)
            with lock:
                in_use.remove(connection)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, range(60)))

    assert most == 3
    assert next(numbers) == 3


def test_a_connection_that_failed_its_user_is_not_lent_again(numbers: Iterator[int]) -> None:
    pool = Pool(1, lambda: next(numbers))
    with pytest.raises(KeyError), pool.borrow(soon()):
        raise KeyError

    with pool.borrow(soon()) as connection:
        assert connection == 1


def test_a_connection_that_cannot_be_made_costs_no_place(numbers: Iterator[int]) -> None:
    attempts = count(1)

    def make() -> int:
        if next(attempts) == 1:
            raise OSError
        return next(numbers)

    pool = Pool(1, make)
    with pytest.raises(OSError), pool.borrow(soon()):
        pass

    with pool.borrow(soon()) as connection:
        assert connection == 0


def test_who_finds_none_free_until_the_deadline_is_told_to_come_back(numbers: Iterator[int]) -> None:
    pool = Pool(1, lambda: next(numbers))
    with pool.borrow(soon()):
        started = time.monotonic()
        with pytest.raises(BackendThrottled) as caught, pool.borrow(Deadline.after(timedelta(milliseconds=100))):
            pass

    assert 0.1 <= time.monotonic() - started < 2
    assert caught.value.retry_after is not None


def test_a_passed_deadline_takes_no_connection(numbers: Iterator[int]) -> None:
    pool = Pool(1, lambda: next(numbers))

    with pytest.raises(BackendTimeout), pool.borrow(Deadline.after(timedelta(0))):
        pass

    assert next(numbers) == 0
