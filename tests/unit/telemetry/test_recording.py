"""The recorder on OpenTelemetry's SDK, with exporters in memory: names, failures, other threads, certificates."""

import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating import attributes as incubating_attributes
from opentelemetry.semconv._incubating import metrics as incubating_metrics

from shared.errors import AppError
from shared.telemetry import names, recorder
from shared.telemetry.calls import Peer, http_call, table_call, url_template
from shared.telemetry.commits import count_certificates
from shared.telemetry.names import INSTRUMENTS
from shared.telemetry.sdk import SdkRecorder, described

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Recorded:
    active: SdkRecorder
    spans: InMemorySpanExporter
    reader: InMemoryMetricReader

    def points(self, instrument: names.Instrument) -> list[tuple[dict[str, Any], float]]:
        data = self.reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
        points = [point for metric in metrics if metric.name == instrument.name for point in metric.data.data_points]
        return [(dict(each.attributes or {}), getattr(each, "value", getattr(each, "count", 0))) for each in points]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    traces = TracerProvider()
    traces.add_span_processor(SimpleSpanProcessor(spans))
    active = SdkRecorder(traces, MeterProvider([reader]), clock=lambda: NOW)
    monkeypatch.setattr(recorder, "_recorder", active)
    return Recorded(active, spans, reader)


class Refused(AppError):
    status, code = 409, "refused_for_a_reason"


def test_names_outside_our_own_space_are_opentelemetrys() -> None:
    """The conventions come with the SDK: each namespace is a module of constants."""
    used = {*(i.name for i in INSTRUMENTS), *(a for i in INSTRUMENTS for a in i.attributes), names.FAAS_TRIGGER}
    foreign = {name for name in used if not name.startswith("entra_pki.")}

    known = set[str]()
    for package in (incubating_attributes, incubating_metrics):
        for namespace in {name.partition(".")[0] for name in foreign}:
            suffix = "attributes" if package is incubating_attributes else "metrics"
            with suppress(ImportError):
                module = __import__(f"{package.__name__}.{namespace}_{suffix}", fromlist=["_"])
                known |= {value for value in vars(module).values() if isinstance(value, str)}
    assert foreign - known == set()


def test_a_failure_is_told_by_its_code_and_never_by_its_message(recorded: Recorded) -> None:
    with pytest.raises(Refused), recorded.active.span("work"):
        raise Refused("the password is hunter2")

    [span] = recorded.spans.get_finished_spans()
    assert span.attributes == {"error.type": "refused_for_a_reason"}
    assert (span.events, span.status.description) == ((), None)


def test_a_broken_call_is_told_by_the_class_of_its_error(recorded: Recorded) -> None:
    with pytest.raises(TimeoutError), http_call(Peer.GRAPH, "GET", "https://graph.microsoft.com/v1.0/users/ada%40x"):
        raise TimeoutError("https://graph.microsoft.com/v1.0/users/ada%40x")

    [(attributes, count)] = recorded.points(names.CLIENT_DURATION)
    assert (attributes["error.type"], attributes["url.template"], count) == ("TimeoutError", "/v1.0/users/{}", 1)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1.0/users/ada@contoso.example", "/v1.0/users/{}"),
        ("/v1.0/groups/5f0e6d1c/members/delta", "/v1.0/groups/{}/members/delta"),
        ("/keys/user-ca/0123456789abcdef/sign", "/keys/{}/{}/sign"),
        ("/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token", "/{}/oauth2/v2.0/token"),
        ("/webhooks/a-secret", "/{}/{}"),
    ],
)
def test_a_path_is_told_without_what_names_somebody(path: str, template: str) -> None:
    assert url_template(path) == template


@pytest.mark.parametrize(("status", "failed"), [(200, False), (404, False), (412, False), (400, True), (503, True)])
def test_a_missing_row_is_no_failure_of_the_tables(recorded: Recorded, status: int, failed: bool) -> None:
    with table_call("directory", "GET", "directory(PartitionKey='a',RowKey='b')") as call:
        call.answered(status)

    [span] = recorded.spans.get_finished_spans()
    assert (span.name, "error.type" in (span.attributes or {})) == ("get directory", failed)
    assert [amount for _, amount in recorded.points(names.THROTTLES)] == ([1] if status == 503 else [])


def test_work_in_another_thread_belongs_to_what_it_is_done_for(recorded: Recorded) -> None:
    def elsewhere() -> None:
        with recorded.active.span("inner"):
            pass

    with recorded.active.span("outer"):
        threads = [threading.Thread(target=recorded.active.carried(elsewhere)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    *inner, outer = recorded.spans.get_finished_spans()
    assert {span.parent.span_id for span in inner if span.parent} == {outer.context.span_id}
    assert len(inner) == 3


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, "pending", None),
        ("pending", "issued", "issued"),
        (None, "issued", "issued"),
        ("issued", "held", "held"),
        ("held", "issued", "released"),
        ("held", "revoked", "revoked"),
        ("pending", "revoked", "revoked"),
        ("revoked", "revoked", None),
        ("pending", None, None),
    ],
)
def test_certificates_are_counted_when_their_status_changes(
    recorded: Recorded, before: str | None, after: str | None, told: str | None
) -> None:
    def row(status: str | None) -> dict[str, Any] | None:
        return None if status is None else {"status": status, "certificate_type": "client_auth", "kind": "entra_user"}

    count_certificates([(row(before), row(after))])

    assert [attributes["entra_pki.change"] for attributes, _ in recorded.points(names.CERTIFICATES)] == (
        [told] if told else []
    )


def test_gauges_are_reckoned_when_they_are_read(recorded: Recorded) -> None:
    recorded.active.moments(names.CRL_REMAINING, {"one": NOW + timedelta(hours=1), "two": NOW - timedelta(hours=2)})
    recorded.active.moments(names.SYNC_LAG, {"": NOW - timedelta(minutes=5)})

    assert recorded.points(names.CRL_REMAINING) == [
        ({"entra_pki.issuer.id": "one"}, 3600),
        ({"entra_pki.issuer.id": "two"}, -7200),
    ]
    assert recorded.points(names.SYNC_LAG) == [({}, 300)]


def test_an_instance_in_azure_says_which_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    azure = {"WEBSITE_SITE_NAME": "pki-prod", "WEBSITE_INSTANCE_ID": "i1", "REGION_NAME": "West Europe"}

    found = dict(described(azure).attributes)

    assert found["service.instance.id"]
    assert {name: value for name, value in found.items() if name.partition(".")[0] in ("faas", "cloud")} == {
        "faas.name": "pki-prod",
        "faas.instance": "i1",
        "cloud.region": "West Europe",
        "cloud.provider": "azure",
        "cloud.platform": "azure.functions",
    }
    assert found["service.name"] == "pki-prod"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=ca,deployment.environment.name=prod")
    told = described(azure).attributes
    assert (told["service.name"], told["deployment.environment.name"]) == ("ca", "prod")
