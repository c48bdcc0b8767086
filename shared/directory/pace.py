"""Keeps one writer below what a partition takes: beyond it the service throttles everybody."""

import time
from collections.abc import Callable

ENTITIES_PER_SECOND = 1800.0
"""The published target of one partition is 2,000 entities of 1 KiB a second
(https://learn.microsoft.com/azure/storage/tables/scalability-targets#scale-targets-for-table-storage)."""
BURST = 1.0
"""Seconds' worth that may be written at once: a full second of nothing is followed by a full second of everything."""


class Pace:
    """Used by one thread."""

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._paid_until = float("-inf")

    def keep(self, entities: int) -> None:
        """Returns when so many entities more may be written."""
        now = self._now()
        self._paid_until = max(self._paid_until, now) + entities / ENTITIES_PER_SECOND
        if self._paid_until > now + BURST:
            self._sleep(self._paid_until - now - BURST)
