"""NCRONTAB expressions and route templates, as the local functions host reads them."""

from datetime import UTC, datetime

import pytest

from local.functions_host.ncrontab import InvalidSchedule, Schedule
from local.functions_host.routes import InvalidTemplate, RouteTemplate

START = datetime(2026, 3, 14, 9, 26, 53, 589793, tzinfo=UTC)  # a Saturday


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # The examples of https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer#ncrontab-examples
        ("0 */5 * * * *", "2026-03-14 09:30:00"),
        ("0 0 * * * *", "2026-03-14 10:00:00"),
        ("0 0 */2 * * *", "2026-03-14 10:00:00"),
        ("0 0 9-17 * * *", "2026-03-14 10:00:00"),
        ("0 30 9 * * *", "2026-03-14 09:30:00"),
        ("0 30 9 * * 1-5", "2026-03-16 09:30:00"),
        ("0 30 9 * Jan Mon", "2027-01-04 09:30:00"),
        ("* * * * * *", "2026-03-14 09:26:54"),
        ("53 26 9 14 3 *", "2027-03-14 09:26:53"),
        ("59,1 * * * * *", "2026-03-14 09:26:59"),
        ("10/20 * * * * *", "2026-03-14 09:27:10"),
        ("0 0 0 1-31/10 * *", "2026-03-21 00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 0 0 29 2 Sunday", "2032-02-29 00:00:00"),
        ("0 0 0 13 * FRI", "2026-11-13 00:00:00"),
        ("0 0 0 31 12 0", "2028-12-31 00:00:00"),
        ("*/5 * * * *", "2026-03-14 09:30:00"),
    ],
)
def test_the_next_occurrence(expression: str, expected: str) -> None:
    found = Schedule.parse(expression, {}).next_after(START)

    assert found is not None
    assert f"{found:%Y-%m-%d %H:%M:%S}" == expected
    assert found.tzinfo is UTC


def test_a_day_that_never_comes_has_no_next_occurrence() -> None:
    assert Schedule.parse("0 0 0 31 2 *", {}).next_after(START) is None


def test_occurrences_follow_each_other_without_gap_or_repetition() -> None:
    schedule, moment, seen = Schedule.parse("0,30 58,59 22-23 * * *", {}), START, []
    for _ in range(9):
        following = schedule.next_after(moment)
        assert following is not None
        moment = following
        seen.append(f"{moment:%d %H:%M:%S}")

    assert seen == [
        f"14 {hour}:{minute}:{second}" for hour in (22, 23) for minute in (58, 59) for second in ("00", 30)
    ] + ["15 22:58:00"]


def test_a_setting_is_put_in_for_its_name() -> None:
    assert Schedule.parse("%WHEN%", {"WHEN": "0 0 4 * * *"}).text == "0 0 4 * * *"


NOT_SCHEDULES = (
    *("", "* * * *", "* * * * * * *", "60 * * * * *", "* * 24 * * *", "* * * 0 * *", "* * * * 13 *", "* * * * * 7"),
    *("a * * * * *", "5-1 * * * * *", "*/0 * * * * *", "*/x * * * * *", ", * * * * *", "* * * * Foo *", "%NOT_SET%"),
)


@pytest.mark.parametrize("expression", NOT_SCHEDULES)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(InvalidSchedule):
        Schedule.parse(expression, {})


@pytest.mark.parametrize("template", ["{user:nonesuch}", "{", "a}b", "{a-b}"])
def test_a_template_that_cannot_be_read_is_refused(template: str) -> None:
    with pytest.raises(InvalidTemplate):
        RouteTemplate.parse(template)


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("{*path}", "", {}),
        ("{*path}", "a/b/", {"path": "a/b/"}),
        ("v1/{*path}", "v1", {}),
        ("v1/{*path}", "v1x", None),
        ("v1/{a}", "v1/b/c", None),
        ("v1/{a}", "v1/", None),
        ("v1.0/x", "v1a0/x", None),
        ("{id:guid}", "9f1c1c40-2f8e-4c53-9a3c-1f0a3f0f8f4e", {"id": "9f1c1c40-2f8e-4c53-9a3c-1f0a3f0f8f4e"}),
        ("{id:guid}", "9f1c", None),
        ("{flag:bool}", "True", {"flag": "True"}),
    ],
)
def test_templates_match_whole_paths(template: str, path: str, expected: dict[str, str] | None) -> None:
    assert RouteTemplate.parse(template).match(path) == expected
