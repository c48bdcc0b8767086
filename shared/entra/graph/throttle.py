"""How long to wait before asking Graph (again), so that its resource-unit bucket never runs dry because of us.

https://learn.microsoft.com/graph/throttling and .../graph/throttling-limits#identity-and-access-service-limits
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from shared.context import Clock

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
BUCKET_PERIOD = 10.0
"""Seconds in which Graph's token bucket refills; what a reply said about the bucket is stale afterwards."""
BUSY_SHARE = 0.8
"""From this share of the limit on, Graph reports `x-ms-throttle-limit-percentage` and wants clients to slow down."""
LONGEST_WAIT = 30.0


class Priority(StrEnum):
    """The value of `x-ms-throttle-priority`: under pressure Graph serves high before low."""

    HIGH = "high"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The waits between attempts, in seconds: the server's wish, growing, with jitter.

    `Retry-After` may be absent, a decimal or a constant 1, so our own growth always applies as well.
    """

    throttled_floor: float = 1.0
    failed_floor: float = 0.25
    random: Callable[[], float] = random.random

    def wait(self, status: int | None, attempt: int, retry_after: float | None) -> float:
        """Before attempt `attempt + 1` (attempts count from 1), after a reply of `status` (None: no reply came)."""
        floor = self.throttled_floor if status == 429 else self.failed_floor
        grown = min(floor * 2.0 ** min(attempt - 1, 16), LONGEST_WAIT)
        asked = max(retry_after or 0.0, grown)
        return asked * (1.0 + 0.25 * self.random())


def parse_retry_after(text: str | None, clock: Clock) -> float | None:
    """Seconds, from a number (also a decimal one) or an HTTP date (RFC 9110, 10.2.3); None if absent or nonsense."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - clock()).total_seconds()
    return max(0.0, seconds) if seconds == seconds and seconds < timedelta(days=1).total_seconds() else None


class Throttle:
    """What the last replies said about the bucket, shared by all threads of one client."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._share = 0.0
        self._noted_at = float("-inf")

    def note(self, headers: Mapping[str, str]) -> None:
        """Learns from a reply's `x-ms-throttle-limit-percentage` (0.8 to 1.8; absent while there is room)."""
        try:
            share = float(headers.get("x-ms-throttle-limit-percentage", "0"))
        except ValueError:
            return
        with self._lock:
            now = self._monotonic()
            if share >= self._share or now - self._noted_at >= BUCKET_PERIOD:
                self._share, self._noted_at = share, now

    def delay(self, priority: Priority) -> float:
        """Seconds to hold back the next request: none below 80 %, at 100 % a fifth of the bucket's period for
        background work; interactive calls give way four times less."""
        with self._lock:
            age = self._monotonic() - self._noted_at
            if self._share < BUSY_SHARE or age >= BUCKET_PERIOD:
                return 0.0
            full = min((self._share - BUSY_SHARE) * BUCKET_PERIOD + 0.2, BUCKET_PERIOD)
        return full if priority is Priority.LOW else full / 4
