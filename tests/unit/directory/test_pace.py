"""Bulk writers stay below the limit of a partition."""

from shared.directory.pace import BURST, ENTITIES_PER_SECOND, Pace


class FakeTime:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


def test_a_bulk_writer_keeps_to_the_rate() -> None:
    clock = FakeTime()
    pace = Pace(now=lambda: clock.now, sleep=clock.sleep)

    for _ in range(1000):
        pace.keep(100)

    assert 100_000 / ENTITIES_PER_SECOND - BURST - 0.1 <= clock.slept <= 100_000 / ENTITIES_PER_SECOND


def test_an_occasional_writer_never_waits() -> None:
    clock = FakeTime()
    pace = Pace(now=lambda: clock.now, sleep=clock.sleep)

    for _ in range(100):
        pace.keep(100)
        clock.now += 0.1

    assert clock.slept == 0.0
