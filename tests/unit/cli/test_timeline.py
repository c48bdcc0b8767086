"""Certificates counted by day, week and month, and drawn."""

import xml.etree.ElementTree as ElementTree
from datetime import UTC, date, datetime

import pytest

from shared.cli.column_chart import Chart, Panel, nice_ticks
from shared.cli.timeline import Step, Timeline, label_of
from shared.directory.records.base import Value, format_time

TODAY = date(2026, 11, 23)  # a Monday
SVG = "{http://www.w3.org/2000/svg}"


def certificate(issued: date, ends: date, *, revoked: date | None = None, **changed: str) -> dict[str, Value]:
    def moment(day: date) -> str:
        return format_time(datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC))

    row: dict[str, Value] = {
        "kind": "entra_user",
        "status": "revoked" if revoked else "issued",
        "issued_at": moment(issued),
        "not_after": moment(ends),
        **changed,
    }
    return row | ({"revoked_at": moment(revoked)} if revoked else {})


def counted(step: Step, *rows: dict[str, Value], past: int = 3, ahead: int = 2) -> list[tuple[str, int, int, int]]:
    timeline = Timeline(step)
    for row in rows:
        timeline.add(row)
    periods = timeline.periods(TODAY, past, ahead)
    return [(label_of(each.start, step), each.issued, each.revoked, each.ending) for each in periods]


def test_months_count_what_was_issued_taken_away_and_ends_in_them() -> None:
    found = counted(
        Step.MONTH,
        certificate(date(2026, 9, 30), date(2026, 12, 1)),
        certificate(date(2026, 10, 1), date(2027, 1, 31), revoked=date(2026, 11, 1)),
        certificate(date(2026, 11, 23), date(2027, 1, 31), status="held", revoked_at="2026-11-23T01:02:03.000000Z"),
        certificate(date(2020, 1, 1), date(2021, 1, 1)),
    )

    assert found == [
        ("2026-09", 1, 0, 0),
        ("2026-10", 1, 0, 0),
        ("2026-11", 1, 2, 0),
        ("2026-12", 0, 0, 1),
        ("2027-01", 0, 0, 0),
    ]


def test_weeks_begin_on_monday_and_cross_the_year() -> None:
    labels = [label for label, *_ in counted(Step.WEEK, past=1, ahead=7)]

    assert labels[0] == "2026-W48"
    assert labels[-3:] == ["2026-W53", "2027-W01", "2027-W02"]


def test_days_are_days_of_utc() -> None:
    found = counted(Step.DAY, certificate(date(2026, 11, 22), date(2026, 11, 24)))

    assert [(label, issued, ending) for label, issued, _, ending in found] == [
        ("2026-11-21", 0, 0),
        ("2026-11-22", 1, 0),
        ("2026-11-23", 0, 0),
        ("2026-11-24", 0, 1),
        ("2026-11-25", 0, 0),
    ]


def test_the_cas_own_certificates_and_unsigned_ones_are_not_issuance() -> None:
    own = certificate(TODAY, TODAY, kind="ocsp_responder")
    pending = certificate(TODAY, TODAY, status="pending")
    del pending["issued_at"]

    assert counted(Step.DAY, own, pending, past=1, ahead=0) == [("2026-11-23", 0, 0, 1)]


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (0, [0, 1, 2]),
        (1, [0, 1, 2]),
        (7, [0, 2, 4, 6, 8]),
        (72, [0, 20, 40, 60, 80]),
        (1000, [0, 200, 400, 600, 800, 1000]),
    ],
)
def test_axes_have_round_numbers(highest: int, ticks: list[int]) -> None:
    assert nice_ticks(highest) == ticks


def test_columns_are_as_tall_as_their_numbers_and_paler_ahead() -> None:
    chart = Chart(
        "Certificates <by> month",
        "a & b",
        ["2026-10", "2026-11", "2026-12"],
        [Panel("Issued", [2, 8, 4], "#111", "#999")],
        2,
    )

    picture = ElementTree.fromstring(chart.svg())

    bars = [bar for bar in picture.iter(f"{SVG}rect") if bar.find(f"{SVG}title") is not None]
    assert [bar.findtext(f"{SVG}title") for bar in bars] == ["2026-10: 2", "2026-11: 8", "2026-12: 4"]
    tall = [float(bar.attrib["height"]) for bar in bars]
    assert tall[1] == 2 * tall[2] == 4 * tall[0]
    assert [bar.attrib["fill"] for bar in bars] == ["#111", "#111", "#999"]
    assert picture.findtext(f"{SVG}title") == "Certificates <by> month"
