"""Many similar operations from a CSV file: some at a time, with a results file that a second run goes on from.

The results file is JSON lines. The first names the run, so that the same line of the same run has the same
Idempotency-Key however often it is tried; each further one is written, and synced, when its line is done or refused.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar
from uuid import uuid4

import click

from shared.cli.bulk_file import Line
from shared.cli.console import progress
from shared.errors import AppError

PATIENCE = timedelta(seconds=90)
"""How long a line is tried again while its error says when: longer than the lease of a request that died."""
LONGEST_WAIT = timedelta(seconds=15)
MOST_JOBS = 32

Outcome = Mapping[str, Any]
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Summary:
    """`skipped`: done by an earlier run. `refused`: what the results file says of those that were not done."""

    done: int = 0
    skipped: int = 0
    refused: list[Outcome] = field(default_factory=list)

    def as_json(self, results: Path | None) -> dict[str, Any]:
        file = str(results) if results is not None else None
        return {"done": self.done, "skipped": self.skipped, "refused": self.refused, "results": file}

    def __str__(self) -> str:
        earlier = f", {self.skipped} done before" if self.skipped else ""
        return f"{self.done} done{earlier}, {len(self.refused)} refused"


class Keeper(Protocol):
    """Where outcomes go; see `Results`."""

    def key(self, line: Line) -> str: ...
    def is_done(self, line: Line) -> bool: ...
    def keep(self, line: Line, outcome: Outcome) -> None: ...


class Results:
    """An open results file. Safe to share between threads."""

    def __init__(self, text: TextIO, run: str, done: frozenset[tuple[int, str]]) -> None:
        self._text = text
        self._run = run
        self._done = done
        self._lock = threading.Lock()

    def key(self, line: Line) -> str:
        """The line's Idempotency-Key."""
        return f"{self._run}-{line.number}-{line.sha256[:16]}"

    def is_done(self, line: Line) -> bool:
        """Whether an earlier run did it, and the line is still the same."""
        return (line.number, line.sha256) in self._done

    def keep(self, line: Line, outcome: Outcome) -> None:
        with self._lock:
            self._text.write(json.dumps({"line": line.number, "sha256": line.sha256, **outcome}) + "\n")
            self._text.flush()
            os.fsync(self._text.fileno())


class NoResults:
    """For a dry run: nothing was done, and nothing is kept."""

    def key(self, line: Line) -> str:
        return str(line.number)

    def is_done(self, _: Line) -> bool:
        return False

    def keep(self, _: Line, __: Outcome) -> None:
        return None


@contextmanager
def open_results(file: Path) -> Iterator[Results]:
    """Goes on with the file if it is there. A last line that was cut off while being written does not count."""
    run, done, sound = _earlier(file)
    with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8") as text:
        text.truncate(sound)
        text.seek(0, os.SEEK_END)
        if run is None:
            run = uuid4().hex
            text.write(json.dumps({"run": run}) + "\n")
        yield Results(text, run, done)


def _earlier(file: Path) -> tuple[str | None, frozenset[tuple[int, str]], int]:
    """The run, the lines that it did, and how many bytes of the file are complete lines."""
    if not file.exists():
        return None, frozenset(), 0
    content = file.read_bytes()
    sound = content.rfind(b"\n") + 1
    try:
        entries = [json.loads(line) for line in content[:sound].splitlines()]
        run = entries[0]["run"] if entries else None
        done = frozenset((entry["line"], entry["sha256"]) for entry in entries[1:] if entry["status"] == "done")
    except (ValueError, KeyError, TypeError):
        raise click.ClickException(f"{file} is not the results file of an earlier run.") from None
    return run, done, sound


def work_through(
    title: str,
    lines: Sequence[Line],
    results: Keeper,
    jobs: int,
    act: Callable[[Line], Outcome],
    tidy: Callable[[Line], None] = lambda _: None,
) -> Summary:
    """Does each line that no earlier run has done, `jobs` at a time. An interrupt lets begun lines end.

    Args:
        act: returns what the results file shall say of the line, or raises AppError: then the line is refused, and the
            next run tries it again.
        tidy: called when a line that was done is on record.
    """
    summary = Summary()
    left = [line for line in lines if not results.is_done(line)]
    summary.skipped = len(lines) - len(left)

    def one(line: Line) -> tuple[Line, Outcome]:
        try:
            outcome: Outcome = {"status": "done", **_patiently(lambda: act(line))}
        except AppError as error:
            outcome = {"status": "refused", "code": error.code, "error": error.message}
        results.keep(line, outcome)
        if outcome["status"] == "done":
            tidy(line)
        return line, outcome

    with progress(title, len(left)) as advance, ThreadPoolExecutor(jobs) as pool:
        for line, outcome in _some_at_a_time(pool, jobs, left, one):
            if outcome["status"] == "done":
                summary.done += 1
            else:
                summary.refused.append({"line": line.number, "code": outcome["code"], "error": outcome["error"]})
            advance(1)
    summary.refused.sort(key=lambda refused: int(refused["line"]))
    return summary


def _some_at_a_time(
    pool: ThreadPoolExecutor,
    jobs: int,
    lines: Sequence[Line],
    one: Callable[[Line], tuple[Line, Outcome]],
) -> Iterator[tuple[Line, Outcome]]:
    running: set[Future[tuple[Line, Outcome]]] = set()
    waiting = iter(lines)
    while True:
        while len(running) < jobs and (line := next(waiting, None)) is not None:
            running.add(pool.submit(one, line))
        if not running:
            return
        ended, running = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            yield future.result()


def _patiently(act: Callable[[], Outcome]) -> Outcome:
    """Again while the error says when to come back, for a minute and a half."""
    end = time.monotonic() + PATIENCE.total_seconds()
    while True:
        try:
            return act()
        except AppError as error:
            if error.retry_after is None or time.monotonic() > end:
                raise
            time.sleep(min(error.retry_after, LONGEST_WAIT).total_seconds())


jobs_option = click.option(
    "--jobs", metavar="N", type=click.IntRange(1, MOST_JOBS), default=4, show_default=True, help="How many at a time."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Check every line, change nothing.")


def results_option(default: str, of_what: str = "line") -> Callable[[Command], Command]:
    """`default`: the file that is written without it; `of_what`: what a line of it tells of."""
    return click.option(
        "--results",
        type=click.Path(dir_okay=False, path_type=Path),
        help=f"What was done of each {of_what} [default: {default}]",
    )


def finish(summary: Summary, unit: str = "Line") -> None:
    """Exit code 1 if anything was refused, with the first reasons. Raises click.ClickException.

    `unit`: what the numbers of the lines are.
    """
    if summary.refused:
        first = [f"{unit} {refused['line']}: {refused['error']}" for refused in summary.refused[:5]]
        more = len(summary.refused) - len(first)
        raise click.ClickException("\n".join(first) + (f"\nand {more} more." if more else ""))
