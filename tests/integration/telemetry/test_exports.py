"""What the running app tells a collector and its log of a known day's work, and what it keeps to itself."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.telemetry.names import FIELDS, INSTRUMENTS, Event
from tests.integration.telemetry.conftest import Watched
from tests.support.otlp_collector import Span


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
    hidden = {**watched.done.secrets, "UPN": "ada@contoso.example", "name": "Lovelace"}
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
