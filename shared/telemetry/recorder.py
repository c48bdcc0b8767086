"""What the rest of the app calls to be observed. As long as telemetry is off, every call here does nothing.

Nothing of OpenTelemetry is imported unless TELEMETRY_EXPORT asks for it.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from shared.errors import AppError
from shared.telemetry.names import Instrument

log = logging.getLogger("entra_pki.telemetry")

F = TypeVar("F", bound=Callable[..., object])
Attributes = Mapping[str, str | int | float | bool]
Origin = object
"""Where a trace stands, for work that goes on in another thread."""

NONE: Attributes = {}


class SpanKind(StrEnum):
    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class HostTrace(Protocol):
    """W3C's traceparent and tracestate as the worker hands them over (azure.functions.TraceContext)."""

    @property
    def trace_parent(self) -> str: ...
    @property
    def trace_state(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Traces:
    """What a request may be a part of: the host's trace of it, or else the one that the caller's headers name."""

    headers: Mapping[str, str]
    host: HostTrace


class Span:
    """A piece of work under way. This one is not recorded."""

    def note(self, attributes: Attributes) -> None:
        """Adds attributes."""

    def fail(self, error_type: str) -> None:
        """Marks the work as failed: with an error's code or class, never with its message."""


def error_type(error: BaseException) -> str:
    """An error by its code, or by its class where it has none: its message may hold anything."""
    return error.code if isinstance(error, AppError) else type(error).__name__


_UNRECORDED = nullcontext(Span())


class Recorder:
    """Takes note of nothing."""

    recording = False

    def span(
        self,
        name: str,  # noqa: ARG002  (for those who record)
        kind: SpanKind = SpanKind.INTERNAL,  # noqa: ARG002
        attributes: Attributes = NONE,  # noqa: ARG002
        *,
        parent: Origin | None = None,  # noqa: ARG002
        links: Sequence[Origin] = (),  # noqa: ARG002
    ) -> AbstractContextManager[Span]:
        """A piece of work, for as long as the `with` block; below `parent`, or below the block around it."""
        return _UNRECORDED

    def incoming(
        self,
        name: str,
        attributes: Attributes,
        traces: Traces,  # noqa: ARG002
    ) -> AbstractContextManager[Span]:
        """A request or a timer's run: a part of the trace that the host or the caller has begun."""
        return self.span(name, SpanKind.SERVER, attributes)

    def timed(self, name: str, instrument: Instrument) -> AbstractContextManager[Span]:  # noqa: ARG002
        """A piece of work whose duration goes into a histogram, with `error.type` where it raises."""
        return self.span(name)

    def count(self, instrument: Instrument, attributes: Attributes = NONE, amount: int = 1) -> None:
        """Adds to a counter."""

    def measure(self, instrument: Instrument, value: float, attributes: Attributes = NONE) -> None:
        """Puts a value into a histogram."""

    def moments(self, instrument: Instrument, moments: Mapping[str, datetime]) -> None:
        """Sets what a gauge reckons from: moments (UTC) by the value of its attribute, or one under ""."""

    @property
    def trace_id(self) -> str | None:
        """Of the work under way in this thread, 32 hex digits."""
        return None

    @property
    def origin(self) -> Origin | None:
        return None

    def carried(self, work: F) -> F:
        """`work`, to be called in another thread as a part of what is under way in this one."""
        return work


_lock = threading.Lock()
_off = Recorder()
_recorder: Recorder | None = None


def recorder() -> Recorder:
    """The recorder of this process; off as long as nobody has started it."""
    return _recorder or _off


def started_recorder() -> Recorder:
    """The same, started as TELEMETRY_EXPORT says. For requests and timers: manage.py exports nothing. Never raises."""
    global _recorder
    if _recorder is None:
        with _lock:
            if _recorder is None:
                _recorder = _make(os.environ)
    return _recorder


def _make(environment: Mapping[str, str]) -> Recorder:
    exporters = chosen_exporters(environment)
    if not exporters:
        return Recorder()
    try:
        from shared.telemetry.sdk import make_recorder

        return make_recorder(exporters, environment)
    except Exception as error:  # noqa: BLE001  (whatever is wrong with telemetry, the app does its work)
        log.warning("TELEMETRY_EXPORT=%s has no effect: %s: %s", ",".join(exporters), type(error).__name__, error)
        return Recorder()


class Exporter(StrEnum):
    """The values of TELEMETRY_EXPORT."""

    OTLP = "otlp"
    """OTLP over HTTP, to OTEL_EXPORTER_OTLP_ENDPOINT."""
    AZURE_MONITOR = "azure_monitor"
    """To the Application Insights of APPLICATIONINSIGHTS_CONNECTION_STRING."""


EXPORTER_NEEDS = {
    Exporter.OTLP: "OTEL_EXPORTER_OTLP_ENDPOINT",
    Exporter.AZURE_MONITOR: "APPLICATIONINSIGHTS_CONNECTION_STRING",
}


def chosen_exporters(environment: Mapping[str, str]) -> tuple[Exporter, ...]:
    """What TELEMETRY_EXPORT names; nothing where it is wrong: `Settings.read` reports that."""
    names = [name.strip() for name in environment.get("TELEMETRY_EXPORT", "").split(",") if name.strip()]
    try:
        chosen = tuple(dict.fromkeys(map(Exporter, names)))
    except ValueError:
        return ()
    return chosen if all(environment.get(EXPORTER_NEEDS[each], "").strip() for each in chosen) else ()
