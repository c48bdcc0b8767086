"""Errors have Laravel's members and RFC 9457's, and say nothing that only the log should hold."""

import json
from datetime import timedelta

import pytest

from shared.api.errors import MethodNotAllowed, error_reply
from shared.errors import AppError
from shared.settings import InvalidSettings


class Throttled(AppError):
    status, code = 429, "graph_throttled"


def test_an_error_has_both_shapes_at_once() -> None:
    reply = error_reply(Throttled("Graph asks for a pause.", retry_after=timedelta(seconds=2.1)), "req-1")

    assert reply.status_code == 429
    assert reply.mimetype == "application/json"
    assert reply.headers["Retry-After"] == "3"
    assert reply.headers["X-Request-Id"] == "req-1"
    assert json.loads(reply.get_body()) == {
        "message": "Graph asks for a pause.",
        "type": "urn:entra-pki:error:graph_throttled",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Graph asks for a pause.",
        "code": "graph_throttled",
        "request_id": "req-1",
    }


def test_a_bug_says_only_where_to_look_it_up(caplog: pytest.LogCaptureFixture) -> None:
    reply = error_reply(ZeroDivisionError("secret internals"), "req-2")

    body = reply.get_body().decode()
    assert reply.status_code == 500
    assert json.loads(body)["message"] == "Server Error"
    assert "secret internals" not in body
    assert "secret internals" in caplog.text
    assert "req-2" in caplog.text


def test_wrong_settings_are_listed_in_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    reply = error_reply(InvalidSettings({"ENTRA_TENANT_ID": "is required."}), "req-3")

    assert reply.status_code == 503
    assert "ENTRA_TENANT_ID" not in reply.get_body().decode()
    assert "ENTRA_TENANT_ID" in caplog.text


def test_a_405_names_the_methods_that_work() -> None:
    reply = error_reply(MethodNotAllowed("PUT", "api/v1/entra-id/users", ["GET"]), "req-4")

    assert (reply.status_code, reply.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/problem+json", "application/problem+json"),
        ("application/json, application/problem+json", "application/problem+json"),
        ("application/json, application/problem+json;q=0.5", "application/json"),
        ("application/problem+json;q=nonsense", "application/json"),
    ],
)
def test_problem_json_is_sent_to_those_who_prefer_it(accept: str, mimetype: str) -> None:
    assert error_reply(AppError("x"), "req-5", accept).mimetype == mimetype
