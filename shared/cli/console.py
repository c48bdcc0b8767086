"""The look and feel that all commands share: one console, one progress bar, `--json` for machines."""

import getpass
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import click
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from shared.context import Actor, ActorKind, Context, Deadline

console = Console()
"""Results: standard output."""
error_console = Console(stderr=True)
"""Progress and errors: standard error, so that results can be piped."""

OPERATOR_BUDGET = timedelta(minutes=5)

_STATE_STYLES = {
    "active": "green",
    "expired": "dim",
    "failed": "bold red",
    "held": "yellow",
    "ok": "green",
    "pending": "yellow",
    "revoked": "red",
    "skipped": "dim",
    "warning": "yellow",
}

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


def emit(data: Any, as_json: bool, render: Callable[[], object]) -> None:
    """Prints `data` as JSON, or what `render()` returns (text or anything that rich can show)."""
    if as_json:
        click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=_json_value))
    else:
        console.print(render())


def listing(headings: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """A table of many things, one a line. Cells are folded, never cut: what is shown can be copied.

    A cell that is a `Text` is taken as it is; of all others see `cell`.
    """
    table = Table(title=title, box=box.SIMPLE_HEAD, header_style="bold", title_justify="left", title_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    return table


def cell(value: object, style: str = "") -> Text:
    """A value as a text. Names and keys come from others: they must neither be read as markup nor move the cursor."""
    return Text(printable(_shown(value)), style=style)


def state(word: str, note: str = "") -> Text:
    """The state of something in its colour, the same in all commands."""
    return cell(f"{word}{note}", state_style(word))


def state_style(word: str) -> str:
    return _STATE_STYLES.get(word, "")


def printable(text: str) -> str:
    """Without what a terminal would act upon."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def facts(title: str, rows: Mapping[str, object]) -> Table:
    """A table of names and values: one thing, told in a few figures. Names are those of the JSON."""
    table = Table(title=title, show_header=False, title_justify="left", title_style="bold", box=box.SIMPLE)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name.replace("_", " "), cell(f"{value:,}" if isinstance(value, int) else value))
    return table


def _shown(value: object) -> str:
    """Moments are UTC, as the headings or the manual say; what is not there is a dash."""
    if value is None or value == "":
        return "–"
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)


def iso(moment: datetime) -> str:
    """ISO 8601 with `Z`, as the API writes it. `moment`: UTC."""
    return moment.isoformat().replace("+00:00", "Z")


def _json_value(value: object) -> str:
    return iso(value) if isinstance(value, datetime) else str(value)


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; call what it yields with the number of items just done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=error_console) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.advance(task, done)


@contextmanager
def steps() -> Iterator[Callable[[str, int], None]]:
    """Progress on standard error of work in steps; call what it yields with the step and the items just done."""
    columns = (TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=error_console) as bar:
        tasks: dict[str, TaskID] = {}

        def advance(step: str, done: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=None)
            bar.advance(tasks[step], done)

        yield advance


def operator_context(budget: timedelta = OPERATOR_BUDGET) -> Context:
    """An operation by whoever runs the command."""
    actor = Actor(ActorKind.OPERATOR, getpass.getuser())
    return Context(actor, f"cli-{uuid4()}", Deadline.after(budget))
