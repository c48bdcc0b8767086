"""Measures what a piece of work costs the process, without the garbage that others left to collect."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 0.050
"""Seconds of process time for validating any token whatsoever."""


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Yields a list that holds the seconds of process time once the block has ended, however it ended."""
    spent: list[float] = []
    gc.disable()
    started = time.process_time()
    try:
        yield spent
    finally:
        spent.append(time.process_time() - started)
        gc.enable()
