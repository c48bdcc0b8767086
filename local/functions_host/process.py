"""Starts the functions host as a child process."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from local.processes import REPOSITORY, ChildProcess, announcement


@dataclass(frozen=True)
class HostProcess:
    """A running functions host; `url` is its base without the route prefix."""

    process: ChildProcess
    url: str
    functions: tuple[str, ...]

    @classmethod
    def start(
        cls,
        root: Path = REPOSITORY,
        *,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        arguments: Sequence[str] = (),
        log: Path | None = None,
    ) -> "HostProcess":
        """Starts the host for the app in `root` and returns once it listens.

        Raises: ChildFailed, with the traceback, when the app cannot be imported.
        """
        command = [sys.executable, "-m", "local.functions_host", "--until-stdin-closes"]
        command += ["--root", str(root), "--port", str(port), *arguments]
        process = ChildProcess("The functions host", command, environment=environment, log=log)
        try:
            ready = process.wait_for(announcement)
        except BaseException:
            process.stop()
            raise
        return cls(process, ready["url"], tuple(ready["functions"]))

    def stop(self) -> int:
        """Ends the host and returns its exit status: 0 when it ended in order."""
        return self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
