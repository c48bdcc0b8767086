"""The recorder over OpenTelemetry's SDK: the only module of the app that imports it.

Export happens in threads of the SDK's own, from bounded queues: a collector that is slow or down costs spans, never a
request. The providers are not made global, so that no other library's telemetry is switched on with ours.
"""

import atexit
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from opentelemetry import context as otel_context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind as OtelSpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.context import Clock, system_clock
from shared.telemetry import names
from shared.telemetry.names import INSTRUMENTS, Instrument, Kind
from shared.telemetry.recorder import (
    NONE,
    Attributes,
    Exporter,
    F,
    Origin,
    Recorder,
    Span,
    SpanKind,
    Traces,
    error_type,
)

SCOPE = "entra_pki"
SERVICE = "entra-pki"
EXIT_TIME = timedelta(seconds=3)
_KINDS = {
    SpanKind.SERVER: OtelSpanKind.SERVER,
    SpanKind.CLIENT: OtelSpanKind.CLIENT,
    SpanKind.INTERNAL: OtelSpanKind.INTERNAL,
}


def make_recorder(exporters: Sequence[Exporter], environment: Mapping[str, str] = os.environ) -> "SdkRecorder":
    """Raises ImportError where an exporter's package is not installed, ValueError where its settings are wrong.

    Intervals, time-outs, queues, samplers, headers and names follow OpenTelemetry's own variables (OTEL_*).
    """
    logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)  # of a lost batch, not of each attempt
    made = [(_span_exporter(each), _metric_exporter(each)) for each in exporters]
    resource = described(environment)
    sampler = None if environment.get("OTEL_TRACES_SAMPLER") else ALWAYS_ON  # and not as host or caller would have it
    traces = TracerProvider(sampler, resource, shutdown_on_exit=False)
    for spans, _ in made:
        traces.add_span_processor(BatchSpanProcessor(spans))
    readers: list[MetricReader] = [PeriodicExportingMetricReader(metrics) for _, metrics in made]
    metrics = MeterProvider(readers, resource, shutdown_on_exit=False)
    _shut_down_at_exit(traces, metrics)
    return SdkRecorder(traces, metrics, host_tells=Exporter.AZURE_MONITOR in exporters)


def _shut_down_at_exit(traces: TracerProvider, metrics: MeterProvider) -> None:
    """What has been recorded is exported at the end, for EXIT_TIME at most: a collector that is down would take longer.

    The thread is there from the beginning, because at exit Python starts no more.
    """
    ending = threading.Event()

    def shut_down() -> None:
        ending.wait()
        traces.shutdown()
        metrics.shutdown()

    thread = threading.Thread(target=shut_down, name="telemetry-exit", daemon=True)
    thread.start()

    def end() -> None:
        ending.set()
        thread.join(EXIT_TIME.total_seconds())

    atexit.register(end)


def described(environment: Mapping[str, str]) -> Resource:
    """Who speaks; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES of this process win.

    https://opentelemetry.io/docs/specs/semconv/resource/faas/ and .../resource/cloud/
    """
    found = {
        "service.name": environment.get("WEBSITE_SITE_NAME") or SERVICE,
        "service.instance.id": str(uuid.uuid4()),  # of this process: an instance has several
    }
    if "WEBSITE_SITE_NAME" in environment:
        azure = {
            "faas.name": "WEBSITE_SITE_NAME",
            "faas.instance": "WEBSITE_INSTANCE_ID",
            "cloud.region": "REGION_NAME",
        }
        found |= {"cloud.provider": "azure", "cloud.platform": "azure.functions"}
        found |= {name: environment[variable] for name, variable in azure.items() if environment.get(variable)}
    return Resource.create(found).merge(OTELResourceDetector().detect())


def _span_exporter(exporter: Exporter) -> SpanExporter:
    if exporter is Exporter.OTLP:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter

    return AzureMonitorTraceExporter(disable_offline_storage=True)


def _metric_exporter(exporter: Exporter) -> MetricExporter:
    if exporter is Exporter.OTLP:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        return OTLPMetricExporter()
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter

    return AzureMonitorMetricExporter(disable_offline_storage=True)


class _RecordedSpan(Span):
    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, error_type: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR))
        self._span.set_attribute(names.ERROR_TYPE, error_type)


class SdkRecorder(Recorder):
    """Records with these providers."""

    recording = True

    def __init__(
        self, traces: TracerProvider, metrics: MeterProvider, *, host_tells: bool = False, clock: Clock = system_clock
    ) -> None:
        """`host_tells`: where this goes, the Functions host tells of the same requests, as a server does."""
        self._host_tells = host_tells
        self._metrics = metrics
        self._tracer: Tracer = traces.get_tracer(SCOPE)
        self._propagator = TraceContextTextMapPropagator()
        self._gauges = {each: _Gauge(each, clock) for each in INSTRUMENTS if each.kind is Kind.GAUGE}
        self._instruments = self._make_instruments()

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = NONE,
        *,
        parent: Origin | None = None,
        links: Sequence[Origin] = (),
    ) -> Iterator[Span]:
        above = None if parent is None else set_span_in_context(_as_span(parent))
        with self._tracer.start_as_current_span(
            name,
            above,
            _KINDS[kind],
            dict(attributes),
            [Link(_as_span(each).get_span_context()) for each in links],
            record_exception=False,  # its message may hold anything
            set_status_on_exception=False,
        ) as span:
            recorded = _RecordedSpan(span)
            try:
                yield recorded
            except BaseException as error:
                recorded.fail(error_type(error))
                raise

    @contextmanager
    def incoming(self, name: str, attributes: Attributes, traces: Traces) -> Iterator[Span]:
        """Below the host's span, else below the caller's, else on its own; never below other work of this thread."""
        host = {"traceparent": traces.host.trace_parent, "tracestate": traces.host.trace_state}
        above = self._propagator.extract(host, otel_context.Context())
        kind = SpanKind.INTERNAL if self._host_tells and above else SpanKind.SERVER
        token = otel_context.attach(above or self._propagator.extract(traces.headers, otel_context.Context()))
        try:
            with self.span(name, kind, attributes) as span:
                yield span
        finally:
            otel_context.detach(token)

    @contextmanager
    def timed(self, name: str, instrument: Instrument) -> Iterator[Span]:
        started = time.perf_counter()
        failed: Attributes = NONE
        try:
            with self.span(name) as span:
                yield span
        except BaseException as error:
            failed = {names.ERROR_TYPE: error_type(error)}
            raise
        finally:
            self.measure(instrument, time.perf_counter() - started, failed)

    def count(self, instrument: Instrument, attributes: Attributes = NONE, amount: int = 1) -> None:
        if amount:
            self._instruments[instrument.name].add(amount, dict(attributes))

    def measure(self, instrument: Instrument, value: float, attributes: Attributes = NONE) -> None:
        told = {name: attributes[name] for name in instrument.attributes if name in attributes}
        self._instruments[instrument.name].record(value, told)

    def moments(self, instrument: Instrument, moments: Mapping[str, datetime]) -> None:
        self._gauges[instrument].moments = dict(moments)

    @property
    def trace_id(self) -> str | None:
        context = get_current_span().get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else None

    @property
    def origin(self) -> Origin | None:
        span = get_current_span()
        return span if span.get_span_context().is_valid else None

    def carried(self, work: F) -> F:
        """Each call gets a copy of its own: a context can only be entered by one thread at a time."""
        context = copy_context()

        def elsewhere(*arguments: Any) -> object:
            return context.copy().run(work, *arguments)

        return cast(F, elsewhere)

    def _make_instruments(self) -> dict[str, Any]:
        meter = self._metrics.get_meter(SCOPE)
        made: dict[str, Any] = {}
        for each in INSTRUMENTS:
            if each.kind is Kind.COUNTER:
                made[each.name] = meter.create_counter(each.name, each.unit, each.description)
            elif each.kind is Kind.HISTOGRAM:
                make = partial(meter.create_histogram, explicit_bucket_boundaries_advisory=each.buckets)
                made[each.name] = make(each.name, each.unit, each.description)
            else:
                observe = [self._gauges[each].observe]
                made[each.name] = meter.create_observable_gauge(each.name, observe, each.unit, each.description)
        return made


class _Gauge:
    """Seconds to or from the moments that were last set, reckoned anew for every export."""

    def __init__(self, instrument: Instrument, clock: Clock) -> None:
        self._instrument = instrument
        self._clock = clock
        self.moments: Mapping[str, datetime] = {}

    def observe(self, options: CallbackOptions) -> Iterable[Observation]:  # noqa: ARG002  (the SDK's signature)
        now = self._clock()
        for value, moment in self.moments.items():
            seconds = (moment - now if self._instrument.ahead else now - moment).total_seconds()
            yield Observation(seconds, dict.fromkeys(self._instrument.attributes, value))


def _as_span(origin: Origin) -> OtelSpan:
    return cast(OtelSpan, origin)
