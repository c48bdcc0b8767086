"""One thing in full, a line for each of its attributes, each value whole so that it can be copied."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.text import Text

from shared.cli.console import console, emit, printable


def card(title: str, rows: Sequence[tuple[str, str | None]]) -> Text:
    """`rows`: (label, value); those without a value are left out."""
    present = [(label, value) for label, value in rows if value]
    width = max((len(label) for label, _ in present), default=0)
    text = Text(f"{title}\n", style="bold underline", end="")
    for label, value in present:
        text.append(f"  {label:<{width}}  ", style="not bold not underline dim")
        text.append(f"{printable(value or '')}\n", style="not bold not underline")
    return text


def emit_cards(data: Any, as_json: bool, cards: Callable[[], Iterable[Text]]) -> None:
    """Prints `data` as JSON, or the cards one below the other; long lines are left to the terminal to wrap."""
    if as_json:
        emit(data, True, Text)
    else:
        console.print(Text("\n").join(cards()), soft_wrap=True, highlight=False, end="")
