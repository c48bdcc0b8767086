"""How long the Graph client waits, and for which reasons."""

from datetime import UTC, datetime

import pytest

from shared.entra.graph.throttle import Priority, RetryPolicy, Throttle, parse_retry_after

NO_JITTER = RetryPolicy(random=lambda: 0.0)


def clock() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("2", 2.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Thu, 01 Jan 2026 00:00:10 GMT", 10.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(text: str | None, seconds: float | None) -> None:
    assert parse_retry_after(text, clock) == seconds


def test_a_throttled_call_waits_at_least_a_second_and_longer_each_time() -> None:
    assert [NO_JITTER.wait(429, attempt, 0.1) for attempt in (1, 2, 3)] == [1.0, 2.0, 4.0]


def test_a_longer_wish_of_the_server_is_respected() -> None:
    assert NO_JITTER.wait(429, 1, 17.0) == 17.0
    assert NO_JITTER.wait(503, 1, 90.0) == 90.0


def test_our_own_growth_ends_at_half_a_minute() -> None:
    assert NO_JITTER.wait(429, 50, None) == 30.0


def test_jitter_only_ever_makes_the_wait_longer() -> None:
    assert RetryPolicy(random=lambda: 1.0).wait(429, 1, 8.0) == 10.0


def test_a_bucket_that_is_nearly_empty_slows_us_down() -> None:
    now = 100.0
    throttle = Throttle(lambda: now)
    assert throttle.delay(Priority.LOW) == 0.0

    throttle.note({"x-ms-throttle-limit-percentage": "1.0"})
    assert throttle.delay(Priority.LOW) == pytest.approx(2.2)
    assert throttle.delay(Priority.HIGH) == pytest.approx(0.55)

    now += 10.0
    assert throttle.delay(Priority.LOW) == 0.0


def test_a_lower_reading_does_not_hide_a_fresh_higher_one() -> None:
    throttle = Throttle(lambda: 100.0)
    throttle.note({"x-ms-throttle-limit-percentage": "1.5"})
    throttle.note({"x-ms-throttle-limit-percentage": "0.85"})
    throttle.note({})
    assert throttle.delay(Priority.LOW) == pytest.approx(7.2)


def test_an_unreadable_reading_is_ignored() -> None:
    throttle = Throttle(lambda: 100.0)
    throttle.note({"x-ms-throttle-limit-percentage": "very"})
    assert throttle.delay(Priority.LOW) == 0.0
