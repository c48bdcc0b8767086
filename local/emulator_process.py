"""What a server of the laptop's stack does as a child process: it says when it is ready, and ends when it is told to.

Its parent's side is `local.processes`.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


def announce(ready: dict[str, Any]) -> None:
    """Prints the line that a parent waits for."""
    print(json.dumps(ready), flush=True)


def stop_when_told(stop: Callable[[], None], until_stdin_closes: bool) -> None:
    """Calls `stop` on SIGTERM or SIGINT and, if asked to, at the end of standard input, which a dying parent closes."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    if until_stdin_closes:
        threading.Thread(target=_wait_for_end_of_input, args=(stop,), daemon=True).start()


def _wait_for_end_of_input(stop: Callable[[], None]) -> None:
    while os.read(sys.stdin.fileno(), 1024):  # not sys.stdin itself: its lock would be held at interpreter shutdown
        pass
    stop()
