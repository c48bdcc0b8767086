"""What a throttled key store asks of all its clients: to be left alone for a while."""

import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from shared.context import Deadline
from shared.pki.errors import BackendThrottled

SPREAD = timedelta(milliseconds=500)
"""Those who waited come back within this, not all at once."""
LONGEST = timedelta(minutes=1)
"""No answer, however odd, stops the CA for longer than this."""


class Pause:
    """One for a process: limits are a vault's, so whoever meets one spares all the others the same answer."""

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, chance: Callable[[], float] = random.random
    ) -> None:
        """`sleep`: waits for so many seconds; `chance`: a number in [0, 1)."""
        self._sleep = sleep
        self._chance = chance
        self._lock = threading.Lock()
        self._until = 0.0

    def begin(self, duration: timedelta) -> None:
        """From now on everybody waits; a pause under way is never shortened."""
        end = time.monotonic() + min(duration, LONGEST).total_seconds()
        with self._lock:
            self._until = max(self._until, end)

    def check(self, deadline: Deadline) -> None:
        """Raises BackendThrottled if a pause ends after the deadline: waiting would only hold up a thread."""
        remaining = self._until - time.monotonic()
        if remaining > 0 and remaining >= deadline.remaining:
            raise BackendThrottled("The key store asks for a pause.", timedelta(seconds=remaining))

    def wait(self, deadline: Deadline) -> None:
        """Waits until the pause is over, with time left to ask. Raises BackendThrottled as `check` does."""
        while (remaining := self._until - time.monotonic()) > 0:
            self.check(deadline)
            to_spare = max(0.0, deadline.remaining - remaining)
            self._sleep(remaining + self._chance() * min(SPREAD.total_seconds(), to_spare / 2))
            if deadline.expired:
                raise BackendThrottled("The key store's pause took all the time there was.", SPREAD)
