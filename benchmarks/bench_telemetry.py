"""What observation costs a request: off, and with OpenTelemetry on, against the same work without any hook.

The work is that of a typical request: one call to Graph, one to the vault, four to the tables. Nothing is sent.
"""

import argparse
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from statistics import median

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from local.functions_host.invocation import TraceContext
from shared.context import Actor, ActorKind
from shared.telemetry import recorder as recorders
from shared.telemetry.calls import Call, Peer, http_call, table_call
from shared.telemetry.recorder import Recorder, Traces
from shared.telemetry.sdk import SdkRecorder
from shared.telemetry.work import AskedFor, observed_request

ASKED = AskedFor("list_users", "GET", "/api/v1/entra-id/users", "4f1c7d3e-9d2b-4a57-8c1e-2b3c4d5e6f70")
TRACES = Traces({}, TraceContext())
ACTOR = Actor(ActorKind.APP, "b3b7a1de-4a53-4e0c-8f53-6c1d2e3f4a5b")
CALLS: Sequence[Callable[[], Call]] = (
    lambda: http_call(Peer.GRAPH, "GET", "https://graph.microsoft.com/v1.0/users/x"),
    lambda: http_call(Peer.KEY_VAULT, "POST", "https://v.vault.azure.net/keys/user-ca/1/sign"),
    *[lambda: table_call("directory", "GET", "directory(PartitionKey='x',RowKey='head')")] * 4,
)
ROUNDS = 7


class _Nowhere(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS


def without() -> None:
    with nullcontext():
        for _ in CALLS:
            with nullcontext():
                pass


def observed() -> None:
    with observed_request(ASKED, TRACES, ACTOR) as seen:
        for call in CALLS:
            with call() as one:
                one.answered(200)
        seen.status = 200


def microseconds(act: Callable[[], None], times: int) -> float:
    """For one of them: the median of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(times):
            act()
        rounds.append((time.perf_counter() - started) / times * 1e6)
    return median(rounds)


def recording() -> SdkRecorder:
    traces = TracerProvider()
    traces.add_span_processor(BatchSpanProcessor(_Nowhere()))
    return SdkRecorder(traces, MeterProvider([InMemoryMetricReader()]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20_000, help="requests a round")
    times: int = parser.parse_args().times
    log = logging.getLogger("entra_pki.requests")
    log.addHandler(logging.NullHandler())
    log.propagate = False

    results = {}
    for name, active, level in (
        ("hooks, off, without the log line", Recorder(), logging.WARNING),
        ("hooks, off", Recorder(), logging.INFO),
        ("hooks, OpenTelemetry on", recording(), logging.INFO),
    ):
        recorders._recorder = active
        log.setLevel(level)
        results[name] = microseconds(observed, times)
    print("one request with six calls to other services, one core           µs each")
    print(f"  no hooks                                                 {microseconds(without, times):15.1f}")
    for name, spent in results.items():
        print(f"  {name:<57}{spent:15.1f}")


if __name__ == "__main__":
    main()
