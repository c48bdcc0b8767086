"""How a search is carried out: through the trigram index, or by looking at every user's text.

Both find the same users. The index is fast for what few users have in common; for what many have, adding up its long
lists costs more than reading all texts once.
"""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from shared.directory.replica.ranks import BY_ID, BY_SYNC, Order
from shared.directory.replica.text_folding import MARKERS
from shared.directory.replica.windows import Window

GRAM = 3
"""Characters of an index entry."""

LONG_LISTS = 4.0
"""Users' shares, summed over the trigrams of a term, from which on the index is slower than reading every text
(measured: 30 ns per list entry against 150 ns per text)."""

RARE = 0.03
"""The share of users up to which a term of one or two characters is looked up as the beginning of trigrams."""

FEW = 0.03
"""The share of users up to which they are fetched one by one and sorted, rather than all users walked through in
order (measured: some 5 µs for a user out of the way, 0.2 µs for the next one)."""

LOOKED_UP = 0.25
"""The share of users up to which those whom the index finds are looked up for their filters, in order of ids (measured:
500 ns for each, against 150 ns for the next text when all are read)."""

SAMPLE_SIZE = 2048


_EVERY_NTH_TEXT = """
WITH RECURSIVE starts (start) AS (SELECT 1 UNION ALL SELECT start + ?1 FROM starts WHERE start + ?1 <= ?2)
SELECT folded FROM starts CROSS JOIN listing WHERE id = (SELECT min(id) FROM listing WHERE id >= start)
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The texts of some users, evenly spread over the ids, to guess from how common a term is."""

    texts: tuple[str, ...]
    users: int
    """How many users there were."""

    @classmethod
    def of(cls, connection: sqlite3.Connection, users: int) -> "Sample":
        (last_id,) = connection.execute("SELECT coalesce(max(id), 0) FROM listing").fetchone()
        step = max(1, last_id // SAMPLE_SIZE)
        return cls(tuple(text for (text,) in connection.execute(_EVERY_NTH_TEXT, (step, last_id))), users)

    def fits(self, users: int) -> bool:
        """Whether it still speaks for a directory of so many users."""
        return 0.8 * self.users <= users <= 1.25 * self.users

    def having(self, term: str) -> set[int]:
        """Which of the texts contain the term."""
        return {number for number, text in enumerate(self.texts) if term in text}


@dataclass(frozen=True, slots=True)
class Search:
    """A search for texts with one of `terms` in them, among users who meet `conditions` (SQL that begins with AND).

    Attributes:
        terms: those that most users have come first.
        share: of users who have one of them, roughly.
        expression: what to ask the trigram index for to find exactly those users; "": nobody; None: read every text.
    """

    terms: Sequence[str]
    conditions: str
    share: float
    expression: str | None

    @classmethod
    def planned(cls, connection: sqlite3.Connection, terms: Sequence[str], conditions: str, sample: Sample) -> "Search":
        having = {term: sample.having(term) for term in terms}
        every = max(1, len(sample.texts))
        parts = [_index_expression(connection, term, len(found) / every) for term, found in having.items()]
        return cls(
            terms=sorted(terms, key=lambda term: -len(having[term])),
            conditions=conditions,
            share=len(set().union(*having.values())) / every,
            expression=None if None in parts else " OR ".join(part for part in parts if part),
        )

    @property
    def is_empty(self) -> bool:
        return self.expression == ""

    def count(self, connection: sqlite3.Connection) -> int:
        source, values = self._source()
        (total,) = connection.execute(f"SELECT count(*) FROM {source}", values).fetchone()
        return int(total)

    def ids(self, connection: sqlite3.Connection, order: Order, window: Window, users: int) -> list[int]:
        """The ids in the window."""
        if order is BY_ID:
            source, values = self._source()
            user_id = "trigrams.rowid" if source.startswith("trigrams") else "id"
            return window.ids(connection, f"SELECT {user_id} FROM {source}", values, user_id)
        descending = order is BY_SYNC
        if self.share < FEW:
            source, values = self._source()
            if source == _INDEX:
                source = _INDEX_AND_LISTING
            select = f"SELECT listing.id FROM {source}"
            return window.ids(connection, select, values, f"+{order.value}", "listing.id", descending=descending)
        visited = (window.offset + window.limit) / self.share
        value = order.value if visited < users * (FEW + self.share / 3) else f"+{order.value}"
        source, values = self._every_text()
        return window.ids(connection, f"SELECT id FROM {source}", values, value, "id", descending=descending)

    def _source(self) -> tuple[str, Sequence[str]]:
        """FROM … WHERE …, and the values bound in it."""
        if self.expression is None or (self.conditions and self.share >= LOOKED_UP):
            return self._every_text()
        return f"{_INDEX_AND_LISTING if self.conditions else _INDEX}{self.conditions}", [self.expression]

    def _every_text(self) -> tuple[str, Sequence[str]]:
        markers = sum(1 << MARKERS.index(term) for term in self.terms if term in MARKERS)
        others = [term for term in self.terms if term not in MARKERS]
        conditions = [f"markers & {markers}"] if markers else []
        contains = " OR ".join(conditions + ["instr(folded, ?)"] * len(others))
        return f"listing WHERE ({contains}){self.conditions}", others


_INDEX = "trigrams WHERE trigrams MATCH ?"
_INDEX_AND_LISTING = "trigrams CROSS JOIN listing ON listing.id = trigrams.rowid WHERE trigrams MATCH ?"


def _index_expression(connection: sqlite3.Connection, term: str, share: float) -> str | None:
    if len(term) >= GRAM:
        return _quoted(term) if share * (len(term) - GRAM + 1) < LONG_LISTS else None
    if share > RARE:
        return None
    return " OR ".join(map(_quoted, _trigrams_from(connection, term)))


def _trigrams_from(connection: sqlite3.Connection, beginning: str) -> Sequence[str]:
    """The trigrams in the index that begin so. Texts end in two FIELD_ENDs, so every character begins one."""
    rows = connection.execute(
        "SELECT term FROM trigram_vocabulary WHERE term >= ? AND term < ?", (beginning, _after_all(beginning))
    )
    return [row[0] for row in rows]


def _after_all(beginning: str) -> str:
    """A text after all that begin so, in the order of code points, which is that of UTF-8."""
    following = ord(beginning[-1]) + 1
    if following == 0xD800:  # surrogates are no characters
        following = 0xE000
    return beginning[:-1] + chr(following) if following <= 0x10FFFF else beginning + "\U0010ffff" * GRAM


def _quoted(text: str) -> str:
    """An FTS5 string (https://www.sqlite.org/fts5.html#fts5_strings): nothing in it is an operator."""
    return '"' + text.replace('"', '""') + '"'
