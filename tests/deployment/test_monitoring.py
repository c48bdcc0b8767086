"""Alert rules and workbook ask for what the app tells: each field, metric, operation and error code by its name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import shared
from shared.context import ActorKind
from shared.entra.tenant_sync.report import Outcome
from shared.telemetry.lines import Line
from shared.telemetry.names import FIELDS, INSTRUMENTS, Event
from shared.telemetry.work import FAILED, OK, REFUSED
from tests.deployment.conftest import INFRA
from tests.support.app_functions import TRIGGERS
from tests.support.bicep.azure import Azure
from tests.support.bicep.evaluation import Deployment, deploy

MONITORING = INFRA / "monitoring"
WORKSPACE = "/subscriptions/1/resourceGroups/pki/providers/Microsoft.OperationalInsights/workspaces/log"
FUNCTIONS = set(TRIGGERS)
METRICS = {instrument.name: instrument for instrument in INSTRUMENTS}
VALUES = {"outcome": {OK, REFUSED, FAILED, *Outcome}, "operation": FUNCTIONS, "actor_kind": set(ActorKind)}


def queries() -> Iterator[tuple[str, str]]:
    for file in sorted((MONITORING / "queries").glob("*.kql")):
        yield file.stem, file.read_text(encoding="utf-8")
    for item in json.loads((MONITORING / "workbook.json").read_text(encoding="utf-8"))["items"]:
        if item["type"] == 3:
            yield f"workbook {item['name']}", item["content"]["query"]


QUERIES = dict(queries())
ON_LINES = {name: query for name, query in QUERIES.items() if query.find("AppTraces") >= 0}
ON_METRICS = {name: query for name, query in QUERIES.items() if query.startswith("AppMetrics")}


def error_codes() -> set[str]:
    """The codes of all errors of the app, as its source says them."""
    sources = (path.read_text(encoding="utf-8") for path in Path(shared.__file__).parent.rglob("*.py"))
    pattern = re.compile(r'code = (?:\d+, )?"(\w+)"')
    return {code for source in sources for code in pattern.findall(source)}


def events_of(query: str) -> set[Event]:
    """Which lines the query looks at, by the text that it wants at their beginning."""
    [start] = re.findall(r"Message startswith '([^']+)'", query)
    return {event for event in Event if str(Line(event, {"operation": "x"})).startswith(start)}


@pytest.fixture
def deployed() -> Deployment:
    given = {"location": "westeurope", "tags": {}, "workspaceId": WORKSPACE}
    found = deploy(MONITORING / "alerts.bicep", {**given, "emails": ["pki@contoso.example"]}, Azure())
    found.resources += deploy(MONITORING / "workbook.bicep", given, Azure()).resources
    return found


@pytest.mark.parametrize("name", ON_LINES)
def test_a_query_finds_the_lines_and_the_fields_that_it_asks_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "json")
    events = events_of(ON_LINES[name])
    asked = set(re.findall(r"\bline\.(\w+)", ON_LINES[name]))

    assert events
    assert asked <= {field for event in events for field in FIELDS[event]}


@pytest.mark.parametrize("name", ON_LINES)
def test_a_query_compares_with_values_that_occur(name: str) -> None:
    for field, values in VALUES.items():
        compared = re.findall(rf'line\.{field}\) (?:==|in) \(?("[^)|\n]+")', ON_LINES[name])
        assert {value for each in compared for value in re.findall(r'"(\w+)"', each)} <= values
    for listed in re.findall(r"line\.error\) in \(([^)]*)\)", ON_LINES[name]):
        assert set(re.findall(r'"(\w+)"', listed)) <= error_codes()


@pytest.mark.parametrize("name", ON_METRICS)
def test_a_query_on_metrics_names_one_that_is_recorded_and_its_attributes(name: str) -> None:
    [metric] = re.findall(r'Name == "([^"]+)"', ON_METRICS[name])
    attributes = re.findall(r'Properties\["([^"]+)"\]', ON_METRICS[name])

    assert set(attributes) <= set(METRICS[metric].attributes)


def test_every_query_is_on_something_that_is_tested_here_or_on_the_vaults_own_log() -> None:
    assert set(QUERIES) - set(ON_LINES) - set(ON_METRICS) == {"key-touched"}


def test_every_query_file_is_an_alert_with_somebody_to_write_to(deployed: Deployment) -> None:
    rules = {
        rule.name.removeprefix("pki-"): rule for rule in deployed.of_type("Microsoft.Insights/scheduledQueryRules")
    }
    group = deployed.only("Microsoft.Insights/actionGroups")

    assert set(rules) == {file.stem for file in (MONITORING / "queries").glob("*.kql")}
    for name, rule in rules.items():
        [criterion] = rule.properties["criteria"]["allOf"]
        assert criterion["query"] == QUERIES[name]
        assert (rule.properties["scopes"], rule.properties["actions"]) == ([WORKSPACE], {"actionGroups": [group.id]})
        assert rule.properties["windowSize"] in ("PT15M", "PT1H", "P2D")
    assert [each["emailAddress"] for each in group.properties["emailReceivers"]] == ["pki@contoso.example"]


def test_the_documentation_tells_of_every_alert() -> None:
    page = (INFRA.parent / "docs" / "observability.md").read_text(encoding="utf-8")

    assert {file.stem for file in (MONITORING / "queries").glob("*.kql") if f"`{file.stem}`" not in page} == set()
    assert {instrument.name for instrument in INSTRUMENTS if f"`{instrument.name}`" not in page} == set()
    assert {field for fields in FIELDS.values() for field in fields if f"`{field}`" not in page} == set()


def test_the_workbook_is_one(deployed: Deployment) -> None:
    book = deployed.only("Microsoft.Insights/workbooks")
    content = json.loads(book.properties["serializedData"])

    assert (content["version"], book.properties["sourceId"]) == ("Notebook/1.0", WORKSPACE)
    names = [item["name"] for item in content["items"]]
    assert len(names) == len(set(names))
