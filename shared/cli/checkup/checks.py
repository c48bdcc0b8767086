"""Checks, what they find, and how they are run: all at once, each in its own time."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from shared.errors import AppError

PATIENCE = timedelta(seconds=30)
"""How long a check may take before it counts as failed."""


class Mark(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, but somebody should look at it."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Could not be looked at, since something that it needs has failed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`detail`: what was seen, a sentence; `remedy`: what to do about it."""

    mark: Mark
    detail: str
    remedy: str | None = None


def ok(detail: str) -> Finding:
    return Finding(Mark.OK, detail)


def warning(detail: str, remedy: str | None = None) -> Finding:
    return Finding(Mark.WARNING, detail, remedy)


def failed(detail: str, remedy: str | None = None) -> Finding:
    return Finding(Mark.FAILED, detail, remedy)


@dataclass(frozen=True, slots=True)
class Check:
    """One subject.

    Attributes:
        look: returns what it finds; an AppError it raises counts as a failure with the error's message.
        needs: names of checks without whose success this one is not worth trying.
    """

    name: str
    look: Callable[[], Sequence[Finding]]
    needs: tuple[str, ...] = ()


@dataclass(slots=True)
class _Run:
    check: Check
    done: threading.Event = field(default_factory=threading.Event)
    findings: Sequence[Finding] = ()

    @property
    def has_failed(self) -> bool:
        return any(finding.mark in (Mark.FAILED, Mark.SKIPPED) for finding in self.findings)


def run(checks: Sequence[Check], patience: timedelta = PATIENCE) -> Iterator[tuple[Check, Sequence[Finding]]]:
    """What each finds, in their order. None can keep the others waiting, not even one that never returns."""
    runs = {check.name: _Run(check) for check in checks}
    for each in runs.values():
        threading.Thread(target=_look, args=(each, runs, patience), name=each.check.name, daemon=True).start()
    for each in runs.values():
        each.done.wait()
        yield each.check, each.findings


def _look(this: _Run, runs: Mapping[str, _Run], patience: timedelta) -> None:
    for name in this.check.needs:
        runs[name].done.wait()
    lacking = [name for name in this.check.needs if runs[name].has_failed]
    if lacking:
        this.findings = [Finding(Mark.SKIPPED, f"Not looked at: first mend {', '.join(lacking)}.")]
    else:
        this.findings = _in_time(this.check, patience)
    this.done.set()


def _in_time(check: Check, patience: timedelta) -> Sequence[Finding]:
    found = list[Finding]()
    worker = threading.Thread(target=lambda: found.extend(_findings(check)), name=f"{check.name}: look", daemon=True)
    started = time.monotonic()
    worker.start()
    worker.join(patience.total_seconds())
    if worker.is_alive():
        seconds = time.monotonic() - started
        return [failed(f"No answer within {seconds:.0f} seconds.", "Look at the network: names, firewalls, proxies.")]
    return found


def _findings(check: Check) -> Sequence[Finding]:
    try:
        return check.look()
    except AppError as error:
        return [failed(error.message)]
    except Exception as error:  # noqa: BLE001  (a check that breaks must not hide what the others find)
        return [failed(f"The check itself broke: {type(error).__name__}: {error}")]
