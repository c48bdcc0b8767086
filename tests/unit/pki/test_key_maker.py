"""Keys are made aside: in order, in time or not at all, and out of everybody's way."""

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.context import Deadline
from shared.pki.errors import KeyMakerBusy
from shared.pki.issuance.key_maker import NICENESS, KeyMaker
from shared.pki.keys import KeyType, spki_sha256
from tests.support.signing_contract import soon


@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.RSA_3072, KeyType.P_256])
def test_each_key_is_of_the_type_asked_for_and_new(key_type: KeyType) -> None:
    maker = KeyMaker()

    with ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(lambda _: maker.make(key_type, soon()), range(4)))

    assert {KeyType.of(key) for key in keys} == {key_type}
    assert len({spki_sha256(key.public_key()) for key in keys}) == 4


def test_whoever_would_wait_too_long_is_told_when_to_come_back() -> None:
    maker = KeyMaker(threads=1)
    first = threading.Thread(target=lambda: maker.make(KeyType.RSA_4096, soon()))
    first.start()

    with pytest.raises(KeyMakerBusy) as caught:
        maker.make(KeyType.RSA_4096, Deadline.after(timedelta(milliseconds=1)))

    first.join()
    assert (caught.value.status, caught.value.retry_after) == (429, timedelta(seconds=5))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_keys_are_made_at_a_lower_priority_and_nothing_else_is() -> None:
    maker = KeyMaker(threads=1)
    maker.make(KeyType.P_256, soon())

    (thread,) = maker._pool._threads
    assert thread.native_id is not None
    assert os.getpriority(os.PRIO_PROCESS, thread.native_id) == os.getpriority(os.PRIO_PROCESS, 0) + NICENESS


def test_other_threads_go_on_while_keys_are_made() -> None:
    """The interpreter lock is not held: a thread that wakes up every millisecond does so while keys are made."""
    maker = KeyMaker(threads=1)
    pauses: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(maker.make, KeyType.RSA_4096, soon())
        last = time.monotonic()
        while not making.done() or len(pauses) < 50:
            time.sleep(0.001)
            pauses.append(time.monotonic() - last)
            last += pauses[-1]

    assert sorted(pauses)[len(pauses) // 2] < 0.1
