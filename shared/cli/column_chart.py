"""Column charts one above the other on one axis of time, as SVG: no library needed, and it opens in every browser."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from xml.sax.saxutils import escape

WIDTH = 960
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 104, 56
PANEL, GAP = 130, 46
GRID, TEXT, FAINT = "#dfe3e8", "#1f2933", "#616e7c"
FONT = "font-family=\"system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif\""
MOST_NUMBERS = 26
"""Up to so many columns each has its number above it."""
LETTER = 7
"""About the width of a letter of a column's label, and room between two of them."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One measure: what its columns count, their heights, and their colours, until now and ahead."""

    title: str
    values: Sequence[int]
    colour: str
    pale: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`labels` name the columns; from column `future` on they lie ahead, and are drawn paler."""

    title: str
    subtitle: str
    labels: Sequence[str]
    panels: Sequence[Panel]
    future: int

    def svg(self) -> str:
        height = TOP + len(self.panels) * (PANEL + GAP) - GAP + BOTTOM
        size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {FONT}>',
                f"<title>{escape(self.title)}</title>",
                f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
                _text(LEFT, 34, self.title, size=20, weight=600),
                _text(LEFT, 56, self.subtitle, size=13, fill=FAINT),
                *(line for number, panel in enumerate(self.panels) for line in self._panel(number, panel)),
                *self._labels(height - BOTTOM),
                *self._today(height - BOTTOM),
                "</svg>\n",
            )
        )

    @property
    def _column(self) -> float:
        return (WIDTH - LEFT - RIGHT) / max(1, len(self.labels))

    def _panel(self, number: int, panel: Panel) -> Iterator[str]:
        top = TOP + number * (PANEL + GAP)
        ticks = nice_ticks(max(panel.values, default=0))
        yield _text(LEFT, top - 10, panel.title, size=13, weight=600, fill=panel.colour)
        for tick in ticks:
            y = top + PANEL * (1 - tick / ticks[-1])
            colour = FAINT if tick == 0 else GRID
            yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"/>'
            yield _text(LEFT - 8, y + 4, f"{tick:,}", size=11, fill=FAINT, anchor="end")
        for index, value in enumerate(panel.values):
            if value:
                yield from self._bar(index, value, top, ticks[-1], panel)

    def _bar(self, index: int, value: int, top: int, highest: int, panel: Panel) -> Iterator[str]:
        width = self._column * 0.7
        x, tall = LEFT + self._column * (index + 0.15), PANEL * value / highest
        colour = panel.pale if index >= self.future else panel.colour
        yield (
            f'<rect x="{x:.1f}" y="{top + PANEL - tall:.1f}" width="{width:.1f}" height="{tall:.1f}" '
            f'fill="{colour}"><title>{escape(self.labels[index])}: {value:,}</title></rect>'
        )
        if len(self.labels) <= MOST_NUMBERS:
            yield _text(x + width / 2, top + PANEL - tall - 4, f"{value:,}", size=10, fill=FAINT, anchor="middle")

    def _labels(self, bottom: int) -> Iterator[str]:
        widest = LETTER * (max(map(len, self.labels), default=0) + 2)
        every = max(1, ceil(widest / self._column))
        for index in range(0, len(self.labels), every):
            middle = LEFT + self._column * (index + 0.5)
            yield _text(middle, bottom + 18, self.labels[index], size=11, fill=FAINT, anchor="middle")

    def _today(self, bottom: int) -> Iterator[str]:
        if 0 < self.future < len(self.labels):
            x = LEFT + self._column * self.future
            yield (
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{bottom}" stroke="{FAINT}" '
                'stroke-dasharray="3 3"/>'
            )
            yield _text(x + 6, bottom + 38, "ahead →", size=11, fill=FAINT)
            yield _text(x - 6, bottom + 38, "← until now", size=11, fill=FAINT, anchor="end")


def nice_ticks(highest: int) -> list[int]:
    """From 0 to at least `highest`, in three to five steps of 1, 2 or 5 times a power of ten."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            step = size * factor
            steps = max(2, -(-highest // step))
            if steps <= 5:
                return [step * number for number in range(steps + 1)]
        size *= 10


def _text(
    x: float, y: float, text: str, *, size: int, weight: int = 400, fill: str = TEXT, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
