"""Exporters as the app meets them: beside the Functions host, slow, down, not installed, and Azure Monitor's."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs

import pytest

from local.entra.control import EntraEmulator
from local.functions_host.process import HostProcess
from local.https_server import Reply, Request
from local.processes import REPOSITORY
from local.stack import ApiClient, Stack, free_port
from tests.support.microsoft_worker import MicrosoftWorker
from tests.support.odd_server import odd_server
from tests.support.otlp_collector import Collector, otlp_collector

HEALTH = "/api/v1/entra-id/health"
STATISTICS = "/api/v1/entra-id/statistics"


@pytest.fixture
def collector(entra: EntraEmulator) -> Iterator[Collector]:
    with otlp_collector(entra.tls_folder.parent) as running:
        yield running


@contextmanager
def worker(stack: Stack, settings: dict[str, str]) -> Iterator[MicrosoftWorker]:
    with MicrosoftWorker({**stack.environment, **settings}) as running:
        yield running


def test_what_the_host_has_begun_is_gone_on_with(stack: Stack, collector: Collector) -> None:
    """The host is between the caller and the app; that it samples nothing itself does not matter."""
    trace_id, callers, hosts = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
    headers = {"traceparent": f"00-{trace_id}-{callers}-01", "X-Request-Id": "hosted"}
    with worker(stack, dict(collector.settings)) as running:
        running.request("GET", HEALTH, headers=headers, host_trace=f"00-{trace_id}-{hosts}-00")
        spans = collector.trace_of("hosted")

    [request] = [span for span in spans if span.attributes.get("entra_pki.request_id") == "hosted"]
    assert (request.trace_id, request.parent_id, request.kind) == (trace_id, hosts, "server")


def test_a_collector_that_does_not_answer_holds_up_nobody(stack: Stack, collector: Collector) -> None:
    collector.hold.set()
    bearer = {"Authorization": f"Bearer {stack.token}"}
    with worker(stack, dict(collector.settings)) as running:
        running.request("GET", STATISTICS, headers=bearer)
        collector.wait_for(lambda: collector.waiting)
        replies = [running.request("GET", STATISTICS, headers=bearer).status for _ in range(50)]
        still_held = collector.waiting
        collector.hold.clear()
        collector.wait_for(lambda: collector.total("http.server.request.duration") >= 51)

    assert (set(replies), still_held > 0) == ({200}, True)


def test_a_collector_that_is_down_is_no_reason_to_fail_or_to_linger(stack: Stack) -> None:
    nowhere = {"TELEMETRY_EXPORT": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{free_port()}"}
    environment = {**stack.environment, **nowhere, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    log = stack.folder / "collector-down.log"
    settings = ["--settings", str(stack.settings_file)]
    with HostProcess.start(environment=environment, arguments=settings, log=log) as host:
        api = ApiClient(host.url, stack.token)
        statuses = {api.get("statistics").status_code for _ in range(20)}
        ended = host.stop()

    assert (statuses, ended) == ({200}, 0)
    assert "trace_id=" in log.read_text(encoding="utf-8")  # it had been recording


def test_without_the_packages_the_app_works_and_says_so(stack: Stack, collector: Collector) -> None:
    """As in Azure before requirements-telemetry.txt is added to what is deployed."""
    missing = stack.folder / "missing"
    (missing / "opentelemetry").mkdir(parents=True)
    (missing / "opentelemetry" / "__init__.py").write_text("raise ImportError('no OpenTelemetry here')")
    environment = {**stack.environment, **collector.settings, "PYTHONPATH": str(missing)}
    log = stack.folder / "packages-missing.log"
    settings = ["--settings", str(stack.settings_file)]
    with HostProcess.start(environment=environment, arguments=settings, log=log) as host:
        status = ApiClient(host.url, stack.token).get("statistics").status_code

    assert status == 200
    assert "TELEMETRY_EXPORT=otlp has no effect: ImportError" in log.read_text(encoding="utf-8")


@dataclass
class ApplicationInsights:
    """The ingestion service that takes data from Entra identities only, and App Service's identity endpoint."""

    url: str = ""
    envelopes: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    TOKEN: ClassVar[str] = "token-of-the-managed-identity"

    def answer(self, request: Request) -> Reply:
        if request.path == "/identity":
            [resource] = parse_qs(request.query)["resource"]
            token = {"access_token": self.TOKEN, "expires_on": "4102444800", "token_type": "Bearer"}
            return Reply.json(token) if resource.startswith("https://monitor.azure.com") else Reply.json({}, 400)
        body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        with self._lock:
            if request.headers.get("authorization") != f"Bearer {self.TOKEN}":
                self.refused += 1
                return Reply.json({}, 401)
            envelopes = json.loads(body)
            self.envelopes += envelopes
        return Reply.json({"itemsReceived": len(envelopes), "itemsAccepted": len(envelopes), "errors": []})

    def of(self, base_type: str) -> list[dict[str, Any]]:
        with self._lock:
            return [each["data"]["baseData"] for each in self.envelopes if each["data"]["baseType"] == base_type]

    @property
    def settings(self) -> dict[str, str]:
        key = "00000000-0000-0000-0000-000000000001"
        return {
            "TELEMETRY_EXPORT": "azure_monitor",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": f"InstrumentationKey={key};IngestionEndpoint={self.url}/",
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "Authorization=AAD",
            "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
            "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
            "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
            "IDENTITY_ENDPOINT": f"{self.url}/identity",
            "IDENTITY_HEADER": "from-the-platform",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
        }


def test_application_insights_gets_requests_dependencies_and_metrics_from_the_managed_identity(
    stack: Stack, entra: EntraEmulator, collector: Collector
) -> None:
    insights = ApplicationInsights()
    with odd_server(entra.tls_folder.parent) as server:
        server.answer, insights.url = insights.answer, server.url
        with worker(stack, insights.settings) as running:
            running.request("GET", STATISTICS, headers={"Authorization": f"Bearer {stack.token}"})
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
    assert stack.token not in json.dumps(insights.envelopes)


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


def test_nothing_of_opentelemetry_is_imported_while_it_is_off(stack: Stack) -> None:
    both = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example", "APPLICATIONINSIGHTS_CONNECTION_STRING": "x"}
    environment = {**stack.environment, **both}  # as the Functions host may have them
    command = [sys.executable, "-c", OFF, stack.token]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["200", "[]"], done.stdout
