"""Log lines, and what the settings make of them; and what is started at all."""

import json

import pytest

from shared.telemetry.lines import Format, Line, chosen_format
from shared.telemetry.names import Event
from shared.telemetry.recorder import Exporter, Recorder, chosen_exporters, recorder

LINE = Line(Event.REQUEST, {"operation": "health", "status": 200, "error": None, "actor_id": 'two words "x"\n'})


def test_a_line_is_one_json_object_without_what_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "json")

    assert json.loads(str(LINE)) == {
        "event": "request",
        "operation": "health",
        "status": 200,
        "actor_id": 'two words "x"\n',
    }
    assert "\n" not in str(LINE)


def test_a_line_of_text_is_one_line_that_can_be_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "text")

    assert str(LINE) == r'request operation=health status=200 actor_id="two words \"x\"\n"'


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        ({}, Format.JSON),
        ({"AZURE_FUNCTIONS_ENVIRONMENT": "Development"}, Format.TEXT),
        ({"AZURE_FUNCTIONS_ENVIRONMENT": "Development", "LOG_FORMAT": "json"}, Format.JSON),
        ({"LOG_FORMAT": "text"}, Format.TEXT),
        ({"LOG_FORMAT": "xml", "AZURE_FUNCTIONS_ENVIRONMENT": "Development"}, Format.JSON),
    ],
)
def test_lines_are_json_unless_a_person_reads_them(environment: dict[str, str], chosen: Format) -> None:
    assert chosen_format(environment) is chosen


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c", "APPLICATIONINSIGHTS_CONNECTION_STRING": "x"}, ()),
        ({"TELEMETRY_EXPORT": "otlp"}, ()),
        ({"TELEMETRY_EXPORT": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://c"}, (Exporter.OTLP,)),
        ({"TELEMETRY_EXPORT": "statsd", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://c"}, ()),
        (
            {
                "TELEMETRY_EXPORT": " otlp, azure_monitor,",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "https://c",
                "APPLICATIONINSIGHTS_CONNECTION_STRING": "x",
            },
            (Exporter.OTLP, Exporter.AZURE_MONITOR),
        ),
    ],
)
def test_nothing_is_exported_that_was_not_asked_for(environment: dict[str, str], chosen: tuple[Exporter, ...]) -> None:
    assert chosen_exporters(environment) == chosen


def test_what_nobody_started_records_nothing() -> None:
    """manage.py, for example: its calls to Graph and the tables are not observed."""
    assert type(recorder()) is Recorder
    assert recorder().carried(len) is len
