"""Writers in processes of their own: a small fork server, its client, and what the writers do.

The server has everything imported and no thread, so that a writer starts in milliseconds and many can be killed.
Lines that a writer wrote before it died arrive before the server's word of its death.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import azure.data.tables  # noqa: F401  (so that no writer has to import it)

from shared.directory import committer
from shared.directory.ledger import Ledger, Request
from shared.directory.tables import TableStore
from tests.support.ledger_story import change_note, count_up, meet_user, soon, write_note

BULK_ROWS = 98
"""With log row and head the most that a transaction carries."""


@dataclass
class WriterProcesses:
    """The client: starts and kills writers, and gathers what they say."""

    connection_string: str
    said: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.support.ledger_writers", self.connection_string]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        self._server.wait(timeout=30)
        self._server.stdout.close()

    def start(self, writer: str, **arguments: Any) -> int:
        """Starts a writer; returns its process id."""
        return int(self._ask({"start": writer, "arguments": arguments})["started"])

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.wait(pid)

    def wait(self, pid: int) -> None:
        """Returns when the process is gone and all it said is in `said`."""
        self._ask({"wait": pid})

    def wait_until(self, writers: int) -> None:
        """Returns when that many writers have said that they are ready."""
        while sum(1 for line in self.said if "ready" in line) < writers:
            self._listen()

    def race(self, writers: Sequence[str], tenant_id: str, seconds: float, **arguments: Any) -> list[tuple[str, int]]:
        """Lets `bulk` and `single` writers compete; returns the kind and the commits of each."""
        with tempfile.TemporaryDirectory() as folder:
            go = Path(folder) / "go"
            arguments |= {"tenant_id": tenant_id, "seconds": seconds, "go": str(go)}
            pids = [self.start(writer, **arguments) for writer in writers]
            self.wait_until(len(writers))
            go.touch()
            for pid in pids:
                self.wait(pid)
        return [(line["writer"], line["commits"]) for line in self.said if "writer" in line]

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        assert self._server.stdin
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        while True:
            answer = self._listen()
            if "started" in answer or "gone" in answer:
                return answer

    def _listen(self) -> dict[str, Any]:
        assert self._server.stdout
        line: dict[str, Any] = json.loads(self._server.stdout.readline())
        if "started" not in line and "gone" not in line:
            self.said.append(line)
        return line


def say(**words: Any) -> None:
    """One write, so that lines of several writers do not mix."""
    os.write(1, (json.dumps(words) + "\n").encode())


def crowd(ledger: Ledger, *, threads: int, operations: int, object_ids: list[str]) -> None:
    """Many threads create and update the same users."""

    def visit(source: random.Random) -> None:
        for _ in range(operations):
            object_id, request_id = source.choice(object_ids), uuid.uuid4().hex
            done = ledger.commit(meet_user(object_id, request_id), soon(120))
            say(request=request_id, object_id=object_id, user=done.value, seq=done.seq)

    _in_threads(visit, threads)


def bulk(ledger: Ledger, *, seconds: float, go: str) -> None:
    """One writer, as large transactions as there can be."""

    def decide_all(number: int) -> Request[list[int]]:
        requests = [write_note(f"bulk {number}") for _ in range(BULK_ROWS)]
        return Request("bulk.written", requests[0].context, lambda tx: [request.decide(tx) for request in requests])

    _race(seconds, go, "bulk", lambda number: ledger.commit(decide_all(number), soon(60)))


def single(ledger: Ledger, *, seconds: float, go: str) -> None:
    """One writer, one row at a time."""
    note = ledger.commit(write_note("single"), soon(60)).value
    _race(seconds, go, "single", lambda number: ledger.commit(change_note(note, f"single {number}"), soon(60)))


def restless(ledger: Ledger, *, threads: int, object_ids: list[str]) -> None:
    """Writes until it is killed, and says what was acknowledged."""

    def write(source: random.Random) -> None:
        while True:
            request_id = uuid.uuid4().hex
            known, new = source.choice(object_ids), str(uuid.uuid4())
            requests = [meet_user(known, request_id), meet_user(new, request_id), count_up("shared", request_id)]
            done = ledger.commit(source.choice(requests), soon(60))
            say(request=request_id, seq=done.seq)

    say(ready=os.getpid())
    _in_threads(write, threads)


WRITERS: Mapping[str, Callable[..., None]] = {"crowd": crowd, "bulk": bulk, "single": single, "restless": restless}


def _race(seconds: float, go: str, name: str, commit: Callable[[int], object]) -> None:
    """From the moment that the file `go` is there: whoever started alone would count the time without rivals."""
    say(ready=os.getpid())
    while not Path(go).exists():
        time.sleep(0.005)
    commits, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        commit(commits)
        commits += 1
    say(writer=name, commits=commits, seconds=seconds)


def _in_threads(target: Callable[[random.Random], None], count: int) -> None:
    sources = [random.Random(f"{os.getpid()}-{number}") for number in range(count)]
    threads = [threading.Thread(target=target, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _serve(connection_string: str) -> None:
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            os.waitpid(question["wait"], 0)
            say(gone=question["wait"])
            continue
        pid = os.fork()
        if pid == 0:
            _write(connection_string, question["start"], question["arguments"])
        say(started=pid)


def _write(connection_string: str, writer: str, arguments: dict[str, Any]) -> None:
    code = 1
    try:
        if not arguments.pop("turns", True):
            committer.RACES_BEFORE_TURN = sys.maxsize
        tables = TableStore.from_connection_string(connection_string, "directory")
        WRITERS[writer](Ledger(tables, arguments.pop("tenant_id")), **arguments)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
