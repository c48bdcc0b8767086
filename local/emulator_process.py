"""Starts one of the laptop's servers as a child process, reads the JSON line it prints when it is ready, and ends it.

The child watches its standard input and ends when that closes, so a killed parent leaves no orphan behind.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 5.0


class EmulatorProcess:
    """`python -m module arguments`, running; `ready` is the JSON object it printed.

    Raises RuntimeError when the child ends or stays silent instead of becoming ready.
    """

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, "--until-stdin-closes", *arguments],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        line = self._stdout_line()
        watchdog.cancel()
        if not line:
            self.stop()
            raise RuntimeError(f"{module} ended or stayed silent before it was ready")
        self.ready: dict[str, Any] = json.loads(line)

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """Ends the child with SIGTERM, and with SIGKILL if it does not listen."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _stdout_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def announce(ready: dict[str, Any]) -> None:
    """Prints the line that a parent waits for."""
    print(json.dumps(ready), flush=True)


def stop_when_told(stop: Callable[[], None], until_stdin_closes: bool) -> None:
    """Calls `stop` on SIGTERM or SIGINT, and on the end of standard input when asked to."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    if until_stdin_closes:
        threading.Thread(target=_wait_for_end_of_input, args=(stop,), daemon=True).start()


def _wait_for_end_of_input(stop: Callable[[], None]) -> None:
    while os.read(sys.stdin.fileno(), 1024):  # not sys.stdin itself: its lock would be held at interpreter shutdown
        pass
    stop()
