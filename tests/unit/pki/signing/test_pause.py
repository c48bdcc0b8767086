"""A throttled key store is left alone by everybody, for as long as it asked, and nobody waits in vain."""

import time
from datetime import timedelta

import pytest

from shared.context import Deadline
from shared.pki.errors import BackendThrottled
from shared.pki.signing.pause import LONGEST, SPREAD, Pause


class Sleeps(list[float]):
    """Waits for real, and remembers how long it was told to."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)
        time.sleep(seconds)


def soon() -> Deadline:
    return Deadline.after(timedelta(seconds=20))


def test_nobody_waits_without_a_pause() -> None:
    sleeps = Sleeps()

    Pause(sleeps).wait(soon())

    assert sleeps == []


def test_everybody_waits_until_its_end_and_comes_back_spread_out() -> None:
    sleeps = Sleeps()
    early, late = Pause(sleeps, lambda: 0.0), Pause(sleeps, lambda: 0.5)

    for pause in (early, late):
        pause.begin(timedelta(milliseconds=50))
        pause.wait(soon())

    assert sleeps[0] == pytest.approx(0.05, abs=0.02)
    assert sleeps[1] == pytest.approx(0.05 + SPREAD.total_seconds() / 2, abs=0.02)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    pause = Pause(Sleeps(), lambda: 0.0)
    pause.begin(timedelta(seconds=30))
    pause.begin(timedelta(seconds=1))

    with pytest.raises(BackendThrottled) as caught:
        pause.wait(Deadline.after(timedelta(seconds=5)))

    assert caught.value.retry_after is not None
    assert caught.value.retry_after.total_seconds() == pytest.approx(30, abs=1)


def test_who_waits_has_time_left_afterwards() -> None:
    pause = Pause(Sleeps(), lambda: 0.99)
    deadline = Deadline.after(timedelta(milliseconds=250))
    pause.begin(timedelta(milliseconds=50))

    pause.wait(deadline)

    assert 0.02 < deadline.remaining < 0.12


def test_who_wakes_up_too_late_is_told_of_the_pause() -> None:
    pause = Pause(lambda _: time.sleep(0.1))
    pause.begin(timedelta(milliseconds=20))

    with pytest.raises(BackendThrottled) as caught:
        pause.wait(Deadline.after(timedelta(milliseconds=60)))

    assert caught.value.retry_after is not None


def test_a_pause_beyond_the_deadline_is_told_at_once() -> None:
    sleeps = Sleeps()
    pause = Pause(sleeps)
    pause.begin(timedelta(seconds=10))

    with pytest.raises(BackendThrottled):
        pause.wait(Deadline.after(timedelta(seconds=9)))

    assert sleeps == []


def test_no_answer_stops_the_authority_for_longer_than_a_minute() -> None:
    pause = Pause(Sleeps())
    pause.begin(timedelta(days=1))

    with pytest.raises(BackendThrottled) as caught:
        pause.wait(soon())

    assert caught.value.retry_after is not None
    assert caught.value.retry_after <= LONGEST
