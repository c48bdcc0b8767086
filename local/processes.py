"""Child processes of the laptop stack: started with a log, waited for until they say that they are ready, and ended by
their own pid, so that nothing survives the program that started them."""

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

REPOSITORY = Path(__file__).resolve().parent.parent
START_TIMEOUT = timedelta(seconds=60)
STOP_GRACE = timedelta(seconds=10)
TAIL_LINES = 40
T = TypeVar("T")


class ChildFailed(RuntimeError):
    """A child process ended, or stayed silent, before it was ready; the message carries the end of its output."""


class ChildProcess:
    """A running program whose output goes line by line to a log file and to whoever waits for a line.

    The child's standard input is a pipe: it closes when this process dies in whatever way, and the programs of the
    stack end themselves then.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path = REPOSITORY,
        log: Path | None = None,
    ) -> None:
        self.name = name
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=dict(environment) if environment is not None else None,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then ends its children in order
        )
        self._pump = threading.Thread(target=self._read, args=(log,), name=f"output of {name}", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit status, negative for a signal; None while the child runs."""
        return self._process.poll()

    @property
    def tail(self) -> str:
        """The last lines of output, for an error message."""
        return "\n".join(self._tail)

    def wait_for(self, match: Callable[[str], T | None], timeout: timedelta = START_TIMEOUT) -> T:
        """What `match` makes of the first line of output (from where the last call stopped) that it recognises.

        Raises: ChildFailed when the child ends first, or `timeout` passes.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise ChildFailed(f"{self.name} was not ready within {timeout}. Its output:\n{self.tail}") from None
            if line is None:
                code = self._process.wait()
                raise ChildFailed(f"{self.name} ended with status {code} before it was ready. Its output:\n{self.tail}")
            found = match(line)
            if found is not None:
                return found

    def send(self, line: str) -> None:
        """Writes a line to the child's standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def terminate(self) -> None:
        """Asks the child to end (SIGTERM); does not wait for it."""
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self, grace: timedelta = STOP_GRACE) -> int:
        """Asks the child to end (SIGTERM), makes it end after `grace`, and returns its exit status."""
        self.terminate()
        try:
            self._process.wait(grace.total_seconds())
        except subprocess.TimeoutExpired:
            self._process.kill()
        code = self._process.wait()
        self._pump.join(STOP_GRACE.total_seconds())
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _read(self, log: Path | None) -> None:
        assert self._process.stdout is not None
        with contextlib.ExitStack() as stack:
            sink = stack.enter_context(log.open("w", encoding="utf-8")) if log is not None else None
            for line in self._process.stdout:
                self._tail.append(line.rstrip("\n"))
                self._lines.put(line)
                if sink is not None:
                    sink.write(line)
                    sink.flush()
        self._lines.put(None)


def announcement(line: str) -> dict[str, Any] | None:
    """The JSON object that `line` is, or None: how a server of the stack says that it is ready, and where."""
    if not line.startswith("{"):
        return None
    with contextlib.suppress(json.JSONDecodeError):
        announced: dict[str, Any] = json.loads(line)
        return announced
    return None


def exit_on_sigterm() -> None:
    """Makes SIGTERM end this process by an exception, so that it ends its children on the way out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
