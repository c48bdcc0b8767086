"""Graph's own throttling: a bucket of resource units per tenant and ten seconds, off unless a test sets a limit.

Source: https://learn.microsoft.com/graph/throttling-limits, "Identity and access service limits".
"""

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field

WINDOW = 10.0  # seconds
WARN_FROM = 0.8


@dataclass
class UnitBucket:
    """What was spent in the last ten seconds."""

    limit: int | None = None
    _spent: deque[tuple[float, int]] = field(default_factory=deque)
    _total: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def spend(self, units: int) -> float:
        """Books the units and returns the used share of the limit (0 without one)."""
        if self.limit is None:
            return 0.0
        with self._lock:
            self._forget()
            self._spent.append((time.monotonic(), units))
            self._total += units
            return self._total / self.limit

    def retry_after(self) -> int | None:
        """None while there is room, else whole seconds until some of the window has passed."""
        if self.limit is None:
            return None
        with self._lock:
            self._forget()
            if self._total < self.limit:
                return None
            return max(1, math.ceil(self._spent[0][0] + WINDOW - time.monotonic()))

    def _forget(self) -> None:
        horizon = time.monotonic() - WINDOW
        while self._spent and self._spent[0][0] < horizon:
            self._total -= self._spent.popleft()[1]
