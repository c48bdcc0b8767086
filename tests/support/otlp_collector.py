"""An OTLP collector of the tests' own: takes what OpenTelemetry's exporters send over HTTP, and decodes it."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from local.https_server import Reply, Request
from tests.support.odd_server import odd_server

PATIENCE = 60.0
"""Seconds; exports come several times a second, but the machine may be busy."""
T = TypeVar("T")
Attributes = Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    name: str
    kind: str
    trace_id: str
    id: str
    parent_id: str
    attributes: Attributes
    resource: Attributes
    failed: bool
    links: frozenset[str]
    """The ids of the spans it is linked to."""


@dataclass(frozen=True)
class Point:
    """The last value of a metric for one set of attributes: a counter's or gauge's, or how many a histogram counted."""

    attributes: Attributes
    value: float
    unit: str


@dataclass
class Collector:
    """`raw` are the bodies as they came, unpacked. With `hold` set, it takes requests and does not answer them."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """The app settings that bring an app's telemetry here."""
    raw: list[bytes] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0
    _spans: dict[str, Span] = field(default_factory=dict)
    _points: dict[str, dict[tuple[Any, ...], Point]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: Request) -> Reply:
        body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        with self._lock:
            self.raw.append(body)
            self.waiting += 1
            if request.path == "/v1/traces":
                self._take_traces(ExportTraceServiceRequest.FromString(body))
            elif request.path == "/v1/metrics":
                self._take_metrics(ExportMetricsServiceRequest.FromString(body))
        while self.hold.is_set():
            time.sleep(0.05)
        with self._lock:
            self.waiting -= 1
        return Reply(200, content_type="application/x-protobuf")

    @property
    def spans(self) -> list[Span]:
        with self._lock:
            return list(self._spans.values())

    @property
    def metrics(self) -> list[str]:
        with self._lock:
            return list(self._points)

    def points(self, metric: str) -> list[Point]:
        with self._lock:
            return list(self._points.get(metric, {}).values())

    def total(self, metric: str, **attributes: Any) -> float:
        """The sum over all sets of attributes that have these; dots of names are written as `__`."""
        wanted = {name.replace("__", "."): value for name, value in attributes.items()}
        return sum(point.value for point in self.points(metric) if wanted.items() <= point.attributes.items())

    def wait_for(self, find: Callable[[], T | None]) -> T:
        """What `find` finds, as soon as it does."""
        deadline = time.monotonic() + PATIENCE
        while not (found := find()):
            assert time.monotonic() < deadline, "what was waited for did not come"
            time.sleep(0.05)
        return found

    def trace_of(self, request_id: str) -> list[Span]:
        """All spans of a request's trace, once its own has come, which is the last to end."""

        def root() -> Span | None:
            return next((s for s in self.spans if s.attributes.get("entra_pki.request_id") == request_id), None)

        found = self.wait_for(root)
        return [span for span in self.spans if span.trace_id == found.trace_id]

    def _take_traces(self, request: ExportTraceServiceRequest) -> None:
        for batch in request.resource_spans:
            resource = _attributes(batch.resource.attributes)
            for scope in batch.scope_spans:
                for span in scope.spans:
                    self._spans[span.span_id.hex()] = _span(span, resource)

    def _take_metrics(self, request: ExportMetricsServiceRequest) -> None:
        for batch in request.resource_metrics:
            instance = _attributes(batch.resource.attributes)["service.instance.id"]
            for scope in batch.scope_metrics:
                for metric in scope.metrics:
                    points = self._points.setdefault(metric.name, {})
                    for attributes, value in _values(metric):
                        points[instance, *sorted(attributes.items())] = Point(attributes, value, metric.unit)


@contextmanager
def otlp_collector(folder: Path) -> Iterator[Collector]:
    """A running collector, with the TLS identity that is kept in the folder.

    Metrics are cumulative: what came last is the value.
    """
    with odd_server(folder) as server:
        collector = Collector()
        server.answer = collector.take
        collector.settings = {
            "TELEMETRY_EXPORT": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
        }
        try:
            yield collector
        finally:
            collector.hold.clear()


def _span(span: WireSpan, resource: Attributes) -> Span:
    return Span(
        span.name,
        WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _attributes(span.attributes),
        resource,
        span.status.code == span.status.STATUS_CODE_ERROR,
        frozenset(link.span_id.hex() for link in span.links),
    )


def _values(metric: Metric) -> Iterator[tuple[Attributes, float]]:
    if metric.HasField("histogram"):
        yield from ((_attributes(point.attributes), point.count) for point in metric.histogram.data_points)
        return
    for number in (metric.sum if metric.HasField("sum") else metric.gauge).data_points:
        value = number.as_int if number.WhichOneof("value") == "as_int" else number.as_double
        yield _attributes(number.attributes), value


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    return None if kind is None else getattr(pair.value, kind)
