"""A bounded number of connections to a key store, each used by one thread at a time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Generic, TypeVar

from shared.context import Deadline
from shared.pki.errors import BackendThrottled, BackendTimeout

T = TypeVar("T")

RETRY_AFTER = timedelta(seconds=2)
"""What a caller is told who found no free connection until its deadline: by then others have had theirs."""


class Pool(Generic[T]):
    """Makes connections as they are needed, up to `size`, and keeps them for the next user."""

    def __init__(self, size: int, make: Callable[[], T]) -> None:
        """`make` may do input and output; it runs in the thread that needs the connection."""
        self._size = size
        self._make = make
        self._permits = threading.Semaphore(size)
        self._free: list[T] = []

    @contextmanager
    def borrow(self, deadline: Deadline) -> Iterator[T]:
        """Lends a connection. One whose user leaves with an exception is not lent again.

        Raises BackendTimeout if the deadline has passed, BackendThrottled if all are taken until then.
        """
        if deadline.expired:
            raise BackendTimeout("There was no time left to ask the key store.")
        if not self._permits.acquire(timeout=deadline.remaining):
            raise BackendThrottled(
                f"All {self._size} connections to the key store were taken until the deadline.", RETRY_AFTER
            )
        try:
            connection = self._take()
            yield connection
            self._free.append(connection)
        finally:
            self._permits.release()

    def _take(self) -> T:
        try:
            return self._free.pop()
        except IndexError:
            return self._make()
