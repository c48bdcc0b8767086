"""What the running app tells a collector and its log of a known day's work, what it keeps to itself, and how it bears
exporters that are slow, down, not installed, beside the Functions host's, or Azure Monitor's."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.entra.control import EntraEmulator
from local.functions_host.process import HostProcess
from local.key_vault import faults
from local.processes import REPOSITORY
from local.stack import ApiClient, free_port
from shared.telemetry.names import FIELDS, INSTRUMENTS, Event
from tests.integration.telemetry.conftest import Watched
from tests.support.application_insights import ApplicationInsights
from tests.support.microsoft_worker import MicrosoftWorker
from tests.support.odd_server import odd_server
from tests.support.otlp_collector import Collector, Span, otlp_collector

HEALTH = "/api/v1/entra-id/health"
STATISTICS = "/api/v1/entra-id/statistics"


def lines(watched: Watched) -> list[dict[str, Any]]:
    """The structured ones, without what the host puts in front."""
    found = (line[line.index('{"event":') :] for line in watched.log if '{"event":' in line)
    return [json.loads(line) for line in found]


def ancestors(span: Span, trace: Mapping[str, Span]) -> list[str]:
    names = []
    while span.parent_id in trace:
        span = trace[span.parent_id]
        names.append(span.name)
    return names


def trace(watched: Watched, what: str) -> dict[str, Span]:
    return {span.id: span for span in watched.collector.trace_of(watched.done.request_ids[what])}


def test_every_function_leaves_structured_lines(watched: Watched) -> None:
    assert {line["operation"] for line in lines(watched)} == set(watched.stack.host.functions)


def test_a_line_says_who_asked_for_what_and_how_it_ended(watched: Watched) -> None:
    [line] = [line for line in lines(watched) if line["request_id"] == watched.done.request_ids["revoke"]]

    told = {name: line[name] for name in ("event", "operation", "outcome", "method", "status", "actor_kind")}
    assert told == {
        "event": "request",
        "operation": "revoke_certificate",
        "outcome": "ok",
        "method": "POST",
        "status": 200,
        "actor_kind": "api_token",
    }
    assert line["duration_ms"] > 0
    assert line["trace_id"] in {span.trace_id for span in watched.collector.spans}


def test_a_refused_request_says_why(watched: Watched) -> None:
    [line] = [line for line in lines(watched) if line["request_id"] == watched.done.request_ids["bad body"]]

    assert (line["status"], line["outcome"], line["error"]) == (422, "refused", "validation_failed")


def test_lines_have_the_documented_fields_and_no_others(watched: Watched) -> None:
    assert {line["event"] for line in lines(watched)} == set(Event)
    for line in lines(watched):
        assert set(line) <= set(FIELDS[Event(line["event"])]), line


def test_the_timer_tells_how_long_crl_and_issuer_last(watched: Watched) -> None:
    runs = [line for line in lines(watched) if line["operation"] == "publish_crls"]

    assert runs[-1]["crls_failed"] == 0
    assert 0 < runs[-1]["crl_remaining_s"] < runs[-1]["issuer_remaining_s"]


def test_no_secret_stands_in_the_log(watched: Watched) -> None:
    text = "\n".join(watched.log)

    assert {what for what, secret in watched.done.secrets.items() if secret in text} == set()


def test_no_secret_and_no_name_is_exported(watched: Watched) -> None:
    trace(watched, "start_sync")  # the last request: all before it have come
    names = {"UPN": "ada@contoso.example", "UPN in a URL": "ada%40contoso.example", "name": "Lovelace"}
    hidden = {**watched.done.secrets, **names}
    sent = b"".join(watched.collector.raw)

    assert {what for what, secret in hidden.items() if secret.encode() in sent} == set()


def test_a_request_holds_what_was_done_for_it(watched: Watched) -> None:
    spans = trace(watched, "issue")
    [request] = [span for span in spans.values() if not span.parent_id]
    [signature] = [span for span in spans.values() if span.name == "POST /keys/{}/{}/sign"]
    commits = [span for span in spans.values() if span.name == "ledger.commit"]
    writes = [span for span in spans.values() if span.attributes.get("db.operation.name") == "transact"]

    assert (request.name, request.kind) == ("POST /api/v1/entra-id/provision-certificate", "server")
    assert request.attributes["http.response.status_code"] == 201
    assert request.attributes["http.route"] == "/api/v1/entra-id/provision-certificate"
    assert (signature.kind, ancestors(signature, spans)) == ("client", [request.name])
    assert len(commits) == len(writes) == 2  # reserved, and confirmed
    assert all(ancestors(span, spans) == ["ledger.transaction", "ledger.commit", request.name] for span in writes)
    assert {ancestors(span, spans)[-1] for span in spans.values() if span is not request} == {request.name}


def test_a_synchronized_user_costs_calls_to_graph_in_the_requests_trace(watched: Watched) -> None:
    spans = trace(watched, "sync_user")
    graph = [span for span in spans.values() if span.attributes.get("entra_pki.peer") == "graph"]

    assert graph
    assert {ancestors(span, spans)[-1] for span in graph} == {"POST /api/v1/entra-id/sync-user"}
    port = urlsplit(watched.stack.entra.graph_url).port
    assert {span.attributes["server.port"] for span in graph} == {port}


def test_timers_and_the_sync_are_traces_too(watched: Watched) -> None:
    def found() -> list[Span]:
        return [span for span in watched.collector.spans if span.attributes.get("faas.trigger") == "timer"]

    runs = watched.collector.wait_for(lambda: found() if len(found()) >= 5 else None)
    [sync] = [span for span in runs if span.attributes["entra_pki.operation"] == "sync_tenant"]
    inside = [span for span in watched.collector.spans if span.trace_id == sync.trace_id]
    assert {"sync", "ledger.commit"} <= {span.name for span in inside}


def test_a_caller_may_bring_its_trace(watched: Watched) -> None:
    trace_id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    watched.done.call("traced", "GET", "statistics", traceparent=f"00-{trace_id}-{parent}-01")

    spans = watched.collector.trace_of(watched.done.request_ids["traced"])

    assert {span.trace_id for span in spans} == {trace_id}
    assert [span.parent_id for span in spans if span.kind == "server"] == [parent]


@pytest.mark.parametrize(
    "traceparent", ["00-00000000000000000000000000000000-00f067aa0ba902b7-01", "nonsense", "00-xyz"]
)
def test_a_malformed_trace_is_not_taken_over(watched: Watched, traceparent: str) -> None:
    watched.done.call("untraced", "GET", "statistics", traceparent=traceparent)

    spans = watched.collector.trace_of(watched.done.request_ids["untraced"])

    assert [span.parent_id for span in spans if span.kind == "server"] == [""]


def test_certificates_are_counted_by_what_became_of_them(watched: Watched) -> None:
    def counts() -> dict[str, float]:
        users = {"entra_pki.certificate.type": "client_auth"}  # not the OCSP responder's own
        points = [
            p for p in watched.collector.points("entra_pki.certificates") if users.items() <= p.attributes.items()
        ]
        return {point.attributes["entra_pki.change"]: point.value for point in points}

    expected = {"issued": watched.done.issued, "held": 1, "released": 1, "revoked": 1}
    watched.collector.wait_for(lambda: counts() == expected)


def test_metrics_agree_with_what_was_asked(watched: Watched) -> None:
    def count(status: int) -> float:
        route = "/api/v1/entra-id/provision-certificate"
        return watched.collector.total(
            "http.server.request.duration", http__route=route, http__response__status_code=status
        )

    watched.collector.wait_for(lambda: (count(201), count(422)) == (watched.done.issued - 1, 1))  # one was a renewal
    traffic = watched.vault.traffic()
    asked = {"entra_pki.peer": "key_vault"}
    points = [
        p for p in watched.collector.points("http.client.request.duration") if asked.items() <= p.attributes.items()
    ]
    signed = sum(point.value for point in points if point.attributes["url.template"].endswith("/sign"))
    assert 0 < signed <= traffic.requests["sign"]  # manage.py had signed the CA and its first CRL
    applied = watched.collector.total("entra_pki.ledger.transactions", entra_pki__outcome="applied")
    commits = watched.collector.total("entra_pki.ledger.commit.duration")
    assert commits >= applied >= 2 * watched.done.issued


def test_a_service_that_throttles_is_counted_and_seen_in_the_trace(watched: Watched) -> None:
    watched.vault.arm(faults.throttled(retry_after="0", path=faults.SIGN))
    watched.done.issue("throttled")

    spans = trace(watched, "throttled")
    signatures = [span for span in spans.values() if span.name == "POST /keys/{}/{}/sign"]
    assert [(span.attributes["http.response.status_code"], span.failed) for span in signatures] == [
        (429, True),
        (200, False),
    ]
    watched.collector.wait_for(lambda: watched.collector.total("entra_pki.throttles", entra_pki__peer="key_vault") == 1)


def test_gauges_tell_time_left_and_time_gone(watched: Watched) -> None:
    def one(metric: str) -> float:
        return watched.collector.wait_for(lambda: watched.collector.points(metric))[0].value

    assert 0 < one("entra_pki.crl.remaining") < 8 * 86400
    assert 0 <= one("entra_pki.crl.age") < 3600
    assert one("entra_pki.issuer.remaining") > 365 * 86400
    assert 0 <= one("entra_pki.sync.lag") < 3600
    assert watched.collector.total("entra_pki.sync.duration", entra_pki__outcome="completed") >= 1
    assert watched.collector.total("entra_pki.replica.log_rows") > 0


def test_every_metric_is_declared_with_its_unit_and_attributes(watched: Watched) -> None:
    declared = {instrument.name: instrument for instrument in INSTRUMENTS}
    seen = {name: watched.collector.points(name) for name in watched.collector.metrics}

    assert set(declared) - set(seen) <= {"entra_pki.throttles", "entra_pki.ledger.retries"}  # nothing was short
    for name, points in seen.items():
        assert {point.unit for point in points} == {declared[name].unit}
        assert {each for point in points for each in point.attributes} <= set(declared[name].attributes), name


@pytest.fixture
def collector(entra: EntraEmulator) -> Iterator[Collector]:
    with otlp_collector(entra.tls_folder.parent) as running:
        yield running


@contextmanager
def worker(watched: Watched, settings: Mapping[str, str]) -> Iterator[MicrosoftWorker]:
    with MicrosoftWorker({**watched.stack.environment, **settings}) as running:
        yield running


def test_what_the_host_has_begun_is_gone_on_with(watched: Watched, collector: Collector) -> None:
    """The host is between the caller and the app; that it samples nothing itself does not matter."""
    trace_id, callers, hosts = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
    headers = {"traceparent": f"00-{trace_id}-{callers}-01", "X-Request-Id": "hosted"}
    with worker(watched, collector.settings) as running:
        running.request("GET", HEALTH, headers=headers, host_trace=f"00-{trace_id}-{hosts}-00")
        spans = collector.trace_of("hosted")

    [request] = [span for span in spans if span.attributes.get("entra_pki.request_id") == "hosted"]
    assert (request.trace_id, request.parent_id, request.kind) == (trace_id, hosts, "server")


def test_a_collector_that_does_not_answer_holds_up_nobody(watched: Watched, collector: Collector) -> None:
    collector.hold.set()
    bearer = {"Authorization": f"Bearer {watched.stack.token}"}
    with worker(watched, collector.settings) as running:
        running.request("GET", STATISTICS, headers=bearer)
        collector.wait_for(lambda: collector.waiting)
        replies = [running.request("GET", STATISTICS, headers=bearer).status for _ in range(50)]
        still_held = collector.waiting
        collector.hold.clear()
        collector.wait_for(lambda: collector.total("http.server.request.duration") >= 51)

    assert (set(replies), still_held > 0) == ({200}, True)


def test_a_collector_that_is_down_is_no_reason_to_fail_or_to_linger(watched: Watched) -> None:
    nowhere = {"TELEMETRY_EXPORT": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{free_port()}"}
    environment = {**watched.stack.environment, **nowhere, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    log = watched.stack.folder / "collector-down.log"
    settings = ["--settings", str(watched.stack.settings_file)]
    with HostProcess.start(environment=environment, arguments=settings, log=log) as host:
        api = ApiClient(host.url, watched.stack.token)
        statuses = {api.get("statistics").status_code for _ in range(20)}
        ended = host.stop()

    assert (statuses, ended) == ({200}, 0)
    assert "trace_id" in log.read_text(encoding="utf-8")  # it had been recording


def test_without_the_packages_the_app_works_and_says_so(watched: Watched, collector: Collector) -> None:
    """As in Azure before requirements-telemetry.txt is added to what is deployed."""
    missing = watched.stack.folder / "missing"
    (missing / "opentelemetry").mkdir(parents=True)
    (missing / "opentelemetry" / "__init__.py").write_text("raise ImportError('no OpenTelemetry here')")
    environment = {**watched.stack.environment, **collector.settings, "PYTHONPATH": str(missing)}
    log = watched.stack.folder / "packages-missing.log"
    settings = ["--settings", str(watched.stack.settings_file)]
    with HostProcess.start(environment=environment, arguments=settings, log=log) as host:
        status = ApiClient(host.url, watched.stack.token).get("statistics").status_code

    assert status == 200
    assert "TELEMETRY_EXPORT=otlp has no effect: ImportError" in log.read_text(encoding="utf-8")


def test_application_insights_gets_requests_dependencies_and_metrics_from_the_managed_identity(
    watched: Watched, entra: EntraEmulator, collector: Collector
) -> None:
    insights = ApplicationInsights()
    with odd_server(entra.tls_folder.parent) as server:
        server.answer, insights.url = insights.answer, server.url
        with worker(watched, insights.settings) as running:
            running.request("GET", STATISTICS, headers={"Authorization": f"Bearer {watched.stack.token}"})
            [request] = collector.wait_for(lambda: insights.of("RequestData"))
            dependencies = collector.wait_for(lambda: insights.of("RemoteDependencyData"))
            found = collector.wait_for(
                lambda: [
                    metric
                    for each in insights.of("MetricData")
                    for metric in each["metrics"]
                    if metric["name"] == "http.server.request.duration"
                ]
            )

    assert (request["name"], request["responseCode"]) == ("GET /api/v1/entra-id/statistics", "200")
    assert {"get directory"} <= {each["name"] for each in dependencies}
    assert found[0]["count"] == 1
    assert watched.stack.token not in json.dumps(insights.envelopes)


OFF = """
import sys
import azure.functions as func
import function_app
from functions.statistics import statistics
from functions.sweep_certificates import sweep_certificates
from local.functions_host.invocation import InvocationContext

headers = {"Authorization": "Bearer " + sys.argv[1]}
request = func.HttpRequest("GET", "https://app.example/api/v1/entra-id/statistics", headers=headers, body=b"")
context = InvocationContext("", "", "")
print(statistics(request, context).status_code)
sweep_certificates._function.get_user_function()(None, context)
print([name for name in sys.modules if name.startswith(("opentelemetry", "azure.monitor", "shared.telemetry.sdk"))])
"""


def test_nothing_of_opentelemetry_is_imported_while_it_is_off(watched: Watched) -> None:
    both = {
        "TELEMETRY_EXPORT": "",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example",
        "APPLICATIONINSIGHTS_CONNECTION_STRING": "x",
    }
    environment = {**watched.stack.environment, **both}  # as the Functions host may have them
    command = [sys.executable, "-c", OFF, watched.stack.token]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["200", "[]"], done.stdout
