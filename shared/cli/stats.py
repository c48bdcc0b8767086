"""`manage.py stats`: the directory in figures, and what happens to its certificates over time."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group as Lines
from rich.table import Table
from rich.text import Text

from shared.cli.column_chart import Chart, Panel
from shared.cli.console import cell, emit, error_console, facts, json_option, listing, operator_context, progress
from shared.cli.timeline import Period, Step, Timeline, label_of, start_of
from shared.context import system_clock
from shared.directory.records.certificate import Certificate
from shared.directory.whole_file import whole_file

if TYPE_CHECKING:
    from shared.directory.replica.queries import Statistics

BAR = 22
"""Characters of the longest bar."""
EIGHTHS = " ▏▎▍▌▋▊▉█"
COLOURS = {"issued": ("#2563a8", "#a9c4e4"), "revoked": ("#b4451f", "#e5b8a8"), "ending": ("#5b6770", "#b9c0c7")}
"""Until now, and ahead."""
STYLES = {"issued": "blue", "revoked": "red", "ending": "bright_black"}
TITLES = {
    "issued": "Issued",
    "revoked": "Revoked or put on hold, and not released since",
    "ending": "Ending without having been revoked",
}


@click.command("stats", short_help="Show figures, and issuance, revocation and expiry over time.")
@click.option(
    "--by",
    "step",
    type=click.Choice([step.value for step in Step]),
    default=Step.MONTH.value,
    show_default=True,
    help="What the periods are; weeks begin on Monday.",
)
@click.option(
    "--past", metavar="N", type=click.IntRange(1, 1000), default=12, show_default=True, help="Periods up to now."
)
@click.option(
    "--ahead", metavar="N", type=click.IntRange(0, 1000), default=12, show_default=True, help="Periods from now on."
)
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Also draw the chart into this file.")
@json_option
def command(step: str, past: int, ahead: int, svg: Path | None, as_json: bool) -> None:
    """Show users and certificates in figures, and issuance, revocation and expiry over time. All times are UTC."""
    from shared.services import services

    statistics = services().reader.statistics(operator_context().deadline)
    timeline = Timeline(Step(step))
    with progress("Counting certificates", services().ledger.head().next_ids.get("certificate", 1) - 1) as advance:
        for row in services().ledger.replicated_rows(Certificate):
            timeline.add(row)
            advance(1)
    today = system_clock().date()
    periods = timeline.periods(today, past, ahead)
    if svg is not None:
        draw(svg, services().settings.entra.tenant_id, periods, timeline.step, today)
        error_console.print(f"The chart is in {svg}.", markup=False)
    emit(_plain(statistics, periods, timeline.step), as_json, lambda: _report(statistics, periods, timeline.step))


def draw(file: Path, tenant_id: str, periods: Sequence[Period], step: Step, today: date) -> None:
    """Writes the chart as SVG."""
    current = start_of(today, step)
    chart = Chart(
        title=f"Certificates by {step}",
        subtitle=f"Tenant {tenant_id}, as of {today:%Y-%m-%d} UTC",
        labels=[label_of(period.start, step) for period in periods],
        panels=[Panel(TITLES[name], [getattr(period, name) for period in periods], *COLOURS[name]) for name in TITLES],
        future=sum(period.start <= current for period in periods),
    )
    with whole_file(file, replace=True) as out:
        out.write(chart.svg().encode())


def _plain(statistics: "Statistics", periods: Sequence[Period], step: Step) -> dict[str, Any]:
    return {
        **asdict(statistics),
        "by": step.value,
        "periods": [{"period": label_of(period.start, step), **asdict(period)} for period in periods],
    }


def _report(statistics: "Statistics", periods: Sequence[Period], step: Step) -> Lines:
    users, certificates = asdict(statistics.users), asdict(statistics.certificates)
    by_type, by_reason = certificates.pop("by_type"), certificates.pop("revoked_by_reason")
    tables = [facts("Users", users), facts("Certificates", certificates)]
    tables += [facts(title, counts) for title, counts in (("By type", by_type), ("By reason", by_reason)) if counts]
    side_by_side = Table.grid()
    side_by_side.add_row(*tables)
    return Lines(side_by_side, _over_time(periods, step))


def _over_time(periods: Sequence[Period], step: Step) -> Table:
    """The bars of all columns have one scale."""
    highest = max((getattr(period, name) for period in periods for name in TITLES), default=0)
    current = start_of(system_clock().date(), step)
    rows = (
        (
            cell(label_of(period.start, step), "bold" if period.start == current else ""),
            *(_bar(getattr(period, name), highest, STYLES[name]) for name in TITLES),
        )
        for period in periods
    )
    return listing((step.value.capitalize(), "Issued", "Revoked", "Ending"), rows)


def _bar(value: int, highest: int, style: str) -> Text:
    """The number, and a bar to an eighth of a character; whatever is not 0 can be seen."""
    if not value:
        return Text("–", style="dim")
    eighths = max(1, round(8 * BAR * value / highest))
    bar = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
    return Text(f"{bar} ", style=style).append(f"{value:,}", style="default")
