"""What search means by "the same text": case, accents and composition do not count, everything else does.

`fold(term) in fold(text)` is the definition of a match; the index only finds the candidates faster.
"""

import unicodedata
from collections.abc import Callable, Iterable

FIELD_END = "\n"
"""Ends a field inside a searchable text. `fold` never leaves one in a text, so no term reaches across two fields."""

_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), " ")

MARKERS = "".join(map(chr, range(0xF0000, 0xF003E)))
"""Characters that never come out of `fold`: private ones, which `domains` uses for its own ends.
As many as a SQLite integer has bits."""

_STROKES_AND_LIGATURES = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "ŧ": "t", "þ": "th"}
)
"""Letters that people type without their stroke or dot, and that Unicode does not take apart."""


_REPLACED = _CONTROLS | dict.fromkeys(map(ord, MARKERS), "\ufffd")


def fold(text: str) -> str:
    """The text without case and accents, in composed form (NFC); control characters become spaces.

    `García` → `garcia`, `STRAẞE` → `strasse`, `Łukasz` → `lukasz`, `Ｗｕ` → `wu`; `김` stays one letter
    however it is composed.
    Lone surrogates, which no UTF-8 file can hold, and MARKERS become U+FFFD.
    """
    if text.isascii():
        return text.lower().translate(_CONTROLS)
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = "".join(character for character in decomposed if not _is_accent(character))
    return unicodedata.normalize("NFC", bare).translate(_STROKES_AND_LIGATURES).translate(_REPLACED)


def searchable_text(name: str, addresses: Iterable[str | None], shorten: Callable[[str], str]) -> str:
    """One text with the folded name and then the shortened addresses; each ends in FIELD_END, the last one in two.

    An address that is part of a field before it adds nothing to find and is left out. With two FIELD_ENDs at the end,
    every character of every field starts a group of three, which is what the index is made of.
    """
    fields = [fold(name)]
    for address in addresses:
        folded = fold(address) if address else ""
        if not any(folded in field for field in fields):
            fields.append(folded)
    return FIELD_END.join([fields[0], *map(shorten, fields[1:])]) + FIELD_END + FIELD_END


def _is_accent(character: str) -> bool:
    """Whether the character is a mark that a reader may leave out.

    By canonical combining class (Unicode 4.3): overlays; Hebrew, Arabic and Syriac points; marks above and below.
    Not the marks that make another letter in Indic scripts, Kana, Thai, Lao and Tibetan.
    """
    combining_class = unicodedata.combining(character)
    return combining_class == 1 or 10 <= combining_class <= 36 or 200 <= combining_class <= 240
