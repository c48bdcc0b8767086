"""One thing in full, a line for each of its attributes, each value whole so that it can be copied."""

from collections.abc import Iterable, Sequence

from rich.text import Text


def card(title: str, rows: Sequence[tuple[str, str | None]]) -> Text:
    """`rows`: (label, value); those without a value are left out. Long lines are left to the terminal to wrap."""
    present = [(label, value) for label, value in rows if value]
    width = max((len(label) for label, _ in present), default=0)
    text = together(())
    text.append(f"{title}\n", style="bold underline")
    for label, value in present:
        text.append(f"  {label:<{width}}  ", style="dim")
        text.append(f"{value}\n")
    return text


def together(cards: Iterable[Text]) -> Text:
    """The cards one below the other, a blank line between them."""
    return Text("\n", no_wrap=True, overflow="ignore").join(cards)
