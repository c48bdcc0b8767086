"""Makes users' private keys without slowing down anybody else.

Making a 4096-bit RSA key keeps a processor busy for a second or more. It is done on threads of their own, no more of
them at once than there are processors, and at a lower priority than the threads that answer requests.
"""

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta

from shared.context import Deadline
from shared.pki.errors import KeyMakerBusy
from shared.pki.keys import KeyType, PrivateKey, generate_key

LOWEST_PRIORITY = 19
NICENESS = 10
"""Beyond the process's own. Linux: about a tenth of the share of an ordinary thread, where both want the processor."""
ASK_AGAIN_AFTER = timedelta(seconds=5)


class KeyMaker:
    """Safe to share between threads; the threads are started with the first key."""

    def __init__(self, threads: int | None = None) -> None:
        """`threads`: how many keys are made at once; as many as there are processors unless given."""
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, "key-maker", initializer=_step_back)

    def make(self, key_type: KeyType, deadline: Deadline) -> PrivateKey:
        """A fresh key. Raises KeyMakerBusy if its turn has not come, or it is not ready, by the deadline."""
        future = self._pool.submit(generate_key, key_type)
        try:
            return future.result(timeout=deadline.remaining)
        except FutureTimeoutError:
            future.cancel()
            raise KeyMakerBusy(ASK_AGAIN_AFTER) from None


def _step_back() -> None:
    """Linux keeps a priority for each thread; elsewhere it is the process's, and stays as it is."""
    if os.uname().sysname == "Linux":
        with contextlib.suppress(OSError):
            niceness = min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, LOWEST_PRIORITY)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
