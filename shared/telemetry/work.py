"""Requests and timers' runs, observed from their beginning to their end: a log line, a span and a duration each."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared.context import Actor, Context
from shared.errors import AppError
from shared.telemetry import names
from shared.telemetry.lines import Line, Value
from shared.telemetry.names import Event
from shared.telemetry.recorder import HostTrace, Recorder, Span, Traces, error_type, started_recorder

requests = logging.getLogger("entra_pki.requests")
timers = logging.getLogger("entra_pki.timers")

OK, REFUSED, FAILED = "ok", "refused", "failed"


def outcome(error: BaseException | None) -> str:
    if error is None:
        return OK
    return REFUSED if isinstance(error, AppError) and error.status < 500 else FAILED


@dataclass(frozen=True, slots=True)
class AskedFor:
    """`route` is the template. The path itself is the caller's, and so is the query: neither is told."""

    function: str
    method: str
    route: str
    request_id: str


@dataclass(slots=True)
class ObservedRequest:
    """What is known of a request so far. `actor`: who asks; the public, as long as nobody has been authenticated."""

    asked: AskedFor
    actor: Actor
    status: int = 500
    error: BaseException | None = None


@contextmanager
def observed_request(asked: AskedFor, traces: Traces, actor: Actor) -> Iterator[ObservedRequest]:
    """A request, for as long as the `with` block, which fills in what becomes of it."""
    started = time.perf_counter()
    active = started_recorder()
    observed = ObservedRequest(asked, actor)
    attributes = {names.FAAS_TRIGGER: "http", names.HTTP_METHOD: asked.method, names.HTTP_ROUTE: asked.route}
    with active.incoming(f"{asked.method} {asked.route}", attributes, traces) as span:
        try:
            yield observed
        finally:
            seconds = time.perf_counter() - started
            if active.recording:
                _record(active, span, observed, seconds)
            told: dict[str, Value] = {"method": asked.method, "status": observed.status}
            told |= _line(asked.function, observed.error, seconds, observed.actor, asked.request_id, active.trace_id)
            requests.info("%s", Line(Event.REQUEST, told))


def _record(active: Recorder, span: Span, observed: ObservedRequest, seconds: float) -> None:
    asked, failed = observed.asked, None if observed.error is None else error_type(observed.error)
    found: dict[str, str | int] = {names.HTTP_STATUS: observed.status}
    found |= {names.ERROR_TYPE: failed} if failed else {}
    where = {names.HTTP_METHOD: asked.method, names.HTTP_ROUTE: asked.route}
    active.measure(names.SERVER_DURATION, seconds, {**where, **found})
    span.note({**found, **_who(observed.actor, asked.request_id), names.OPERATION: asked.function})
    if observed.status >= 500:
        span.fail(failed or str(observed.status))


@dataclass(slots=True)
class TimerRun:
    """A run of a timer under way: its context, and what its log line is to say besides."""

    context: Context
    facts: dict[str, Value] = field(default_factory=dict)

    def tell(self, facts: Mapping[str, Value]) -> None:
        self.facts.update(facts)


@contextmanager
def timer_run(context: Context, host: HostTrace) -> Iterator[TimerRun]:
    """A run of the timer that acts in `context`, for as long as the `with` block. What it raises passes on."""
    started = time.perf_counter()
    active = started_recorder()
    run, function = TimerRun(context), context.actor.id
    error: BaseException | None = None
    attributes = {names.FAAS_TRIGGER: "timer", names.OPERATION: function}
    with active.incoming(function, {**attributes, **_who(context.actor, context.request_id)}, Traces({}, host)):
        try:
            yield run
        except BaseException as raised:
            error = raised
            raise
        finally:
            seconds = time.perf_counter() - started
            failed = {} if error is None else {names.ERROR_TYPE: error_type(error)}
            active.measure(names.TIMER_DURATION, seconds, {**attributes, **failed})
            who = _line(function, error, seconds, context.actor, context.request_id, active.trace_id)
            timers.info("%s", Line(Event.TIMER, who | run.facts))


def _line(
    function: str, error: BaseException | None, seconds: float, actor: Actor, request_id: str, trace_id: str | None
) -> dict[str, Value]:
    """The fields that all lines have."""
    return {
        "operation": function,
        "outcome": outcome(error),
        "error": None if error is None else error_type(error),
        "duration_ms": round(seconds * 1000, 1),
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "request_id": request_id,
        "trace_id": trace_id,
    }


def _who(actor: Actor, request_id: str) -> dict[str, str]:
    return {names.ACTOR_KIND: actor.kind, names.ACTOR_ID: actor.id, names.REQUEST_ID: request_id}
