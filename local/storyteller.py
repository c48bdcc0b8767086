"""Tells a story of numbered steps with their durations, and stops at the first that does not do what it should."""

import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

INDENT = "    "


class StoryFailed(Exception):
    """A step did not do what it should; the message says what was expected and what was found."""


class Storyteller:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.perf_counter()
        self._steps = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step: its title first, then what `say` and `show` are given, then how long it took."""
        self._steps += 1
        self._console.print(f"[bold cyan]{self._steps:>2}[/]  [bold]{escape(title)}[/]")
        started = time.perf_counter()
        yield
        self._console.print(f"{INDENT}[green]✓[/] [dim]{_duration(time.perf_counter() - started)}[/]\n")

    def say(self, sentence: str) -> None:
        for line in textwrap.wrap(sentence, self._console.width - len(INDENT)):
            self._console.print(f"{INDENT}{escape(line)}", highlight=False)

    def show(self, table: Table) -> None:
        self._console.print(Padding(table, (0, 0, 0, len(INDENT)), expand=False))

    def end(self, sentence: str) -> None:
        took = _duration(time.perf_counter() - self._started)
        self._console.print(f"[bold green]{self._steps} steps, all as they should be, in {took}.[/] {escape(sentence)}")


def expect(condition: bool, sentence: str) -> None:
    """Raises StoryFailed with the sentence unless the condition holds."""
    if not condition:
        raise StoryFailed(sentence)


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
