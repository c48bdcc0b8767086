"""The description is valid OpenAPI 3.1, leaves no route out, and costs nothing until somebody asks for it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from shared.api.openapi.document import description
from shared.api.openapi.failures import RULES, SHARED_FAILURES, failures_of
from shared.api.permissions import Permission
from shared.api.resources.problem import Problem
from shared.api.routes import Route, routes
from shared.api.validation import validated
from tests.support.described import described

REPOSITORY = Path(__file__).parents[4]
OPERATIONS = [(path, method) for path, methods in described()["paths"].items() for method in methods]

WITH_A_BODY = [route for route in routes() if route.body is not None]


def operation(path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = described()["paths"][path][method]
    return found


def test_it_is_valid_by_an_independent_validator() -> None:
    assert not list(OpenAPIV31SpecValidator(described()).iter_errors())


def test_the_committed_copy_is_of_this_app() -> None:
    committed = json.loads((REPOSITORY / "docs" / "openapi.json").read_text(encoding="utf-8"))

    assert committed == described(), "The API has changed: write docs/openapi.json anew with `make openapi`."


def test_every_route_is_an_operation_under_the_name_of_its_function() -> None:
    names = [operation(path, method)["operationId"] for path, method in OPERATIONS]

    assert sorted(names) == sorted(route.function for route in routes())


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_an_operation_says_what_it_does_who_may_call_it_and_how_it_can_fail(path: str, method: str) -> None:
    found = operation(path, method)

    assert found["summary"].endswith(".")
    assert "Needs the permission" in found["description"] or "Public" in found["description"]
    assert len(found["tags"]) == 1
    assert "500" in found["responses"]
    assert ("401" in found["responses"]) == ("403" in found["responses"] and bool(found["security"]))
    assert all("X-Request-Id" in response["headers"] for response in found["responses"].values())


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_examples_of_errors_are_problems_of_their_status(path: str, method: str) -> None:
    document = described()
    problem = OAS31Validator({"$ref": "#/components/schemas/Problem", "components": document["components"]})
    for status, response in operation(path, method)["responses"].items():
        for code, example in response.get("content", {}).get("application/json", {}).get("examples", {}).items():
            value = example.get("value") or document["components"]["examples"][code]["value"]
            assert problem.is_valid(value)
            assert (value["code"], str(value["status"])) == (code, status)


@pytest.mark.parametrize(
    "route", [route for route in routes() if route.body is not None], ids=lambda route: route.function
)
def test_the_examples_of_bodies_would_be_accepted(route: Route) -> None:
    assert route.body is not None
    components = described()["components"]
    schema = components["schemas"][route.body.__name__]
    validator = OAS31Validator({**schema, "components": components})

    assert schema["examples"]
    for example in schema["examples"]:
        assert validated(route.body, example)
        assert validator.is_valid(example)


def test_the_examples_of_members_are_of_their_kind() -> None:
    components = described()["components"]
    for name, model in components["schemas"].items():
        for member, schema in model.get("properties", {}).items():
            validator = OAS31Validator({**schema, "components": components})
            assert all(validator.is_valid(example) for example in schema.get("examples", ())), f"{name}.{member}"


def test_each_code_is_explained_once() -> None:
    codes = [failure.code for failure in SHARED_FAILURES if failure.code not in ("validation_failed", "invalid_token")]

    assert len(codes) == len(set(codes))


def test_every_rule_of_failures_is_that_of_some_route() -> None:
    idle = [failures for applies, failures in RULES if not any(applies(route) for route in routes())]

    assert not idle


def test_a_route_registered_later_is_described_without_being_named_anywhere() -> None:
    late = Route(
        function="recount",
        method="POST",
        template="v1/entra-id/notices/{notice}/repeat",
        permission=Permission.SYNC,
        summary="Sends a notice again.",
        reply=Problem,
    )

    found = description([late])["paths"]["/api/v1/entra-id/notices/{notice}/repeat"]["post"]

    assert found["operationId"] == "recount"
    assert [(parameter["name"], parameter["schema"]["type"]) for parameter in found["parameters"]] == [
        ("notice", "integer")
    ]
    assert {"200", "401", "403", "404", "500", "503"} <= set(found["responses"])


def test_a_status_of_a_regular_reply_is_no_failure() -> None:
    health = next(route for route in routes() if route.function == "health")

    assert 503 in health.also
    assert 503 not in {failure.status for failure in failures_of(health)}


def test_a_front_door_with_another_name_is_the_server() -> None:
    assert description([], "https://pki.contoso.example")["servers"] == [{"url": "https://pki.contoso.example"}]
    assert described()["servers"] == [{"url": "/"}]


def test_no_cold_start_pays_for_it() -> None:
    program = "import sys, function_app; print([name for name in sys.modules if name.startswith('shared.api.openapi')])"
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=120
    ).stdout

    assert printed.strip() == "[]"
