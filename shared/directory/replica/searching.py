"""How a search is carried out: through the trigram index, or by looking at every user's text.

Each way finds the same users. The index is fast for what few users have in common. What many have is found faster by
reading all texts once than by adding up long lists; and of a long term, the rarest trigram often leaves so few users
that looking at each is faster than following all of its trigrams.
"""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.directory.replica.ranks import BY_ID, BY_SYNC, Order
from shared.directory.replica.text_folding import MARKERS
from shared.directory.replica.windows import Window

GRAM = 3
"""Characters of an index entry."""

ENTRY, LOOKUP, TEXT = 33.0, 500.0, 150.0
"""What takes how long (measured, ns): an entry of the index's lists; a user's text found by id, one after the other in
order of ids; the next text when all are read."""

RARE = 0.03
"""The share of users up to which a term of one or two characters is looked up as the beginning of trigrams."""

FEW = 0.03
"""The share of users up to which they are fetched one by one and sorted, rather than all users walked through in
order (measured: some 5 µs for a user out of the way, 0.2 µs for the next one)."""

SAMPLE_SIZE = 2048


@dataclass(frozen=True, slots=True)
class Sample:
    """The texts of some users, evenly spread over the ids, to guess from how common a term is."""

    texts: tuple[str, ...]
    users: int
    """How many users there were."""
    trigrams: Mapping[str, int]
    """How many of the texts have it; 0 for those that none has."""

    @classmethod
    def of(cls, connection: sqlite3.Connection, users: int) -> "Sample":
        (last_id,) = connection.execute("SELECT coalesce(max(id), 0) FROM listing").fetchone()
        texts = tuple(
            connection.execute("SELECT folded FROM listing WHERE id >= ? ORDER BY id LIMIT 1", (start,)).fetchone()[0]
            for start in range(1, last_id + 1, max(1, last_id // SAMPLE_SIZE))
        )
        return cls(texts, users, Counter(trigram for text in texts for trigram in _trigrams(text)))

    def fits(self, users: int) -> bool:
        """Whether it still speaks for a directory of so many users."""
        return 0.8 * self.users <= users <= 1.25 * self.users

    def having(self, term: str) -> set[int]:
        """Which of the texts contain the term."""
        return {number for number, text in enumerate(self.texts) if term in text}

    def share(self, count: int) -> float:
        return count / max(1, len(self.texts))


EMPTY_SAMPLE = Sample((), 0, Counter())


@dataclass(frozen=True, slots=True)
class Lists:
    """What to ask the index for.

    Attributes:
        entries: in the lists to be read, as a share of the users.
        found: the share of users that come out.
    """

    expression: str
    entries: float
    found: float

    @classmethod
    def of_all(cls, term: str, share: float, sample: Sample) -> "Lists":
        """Of all the term's trigrams, one after the other: exactly those who have the term."""
        return cls(_quoted(term), sum(sample.share(sample.trigrams[found]) for found in _trigrams(term)), share)

    @classmethod
    def of_the_rarest(cls, term: str, sample: Sample) -> "Lists":
        """Of one of the term's trigrams: some of those who have it do not have the term."""
        rarest = min(sorted(_trigrams(term)), key=sample.trigrams.__getitem__)
        share = sample.share(sample.trigrams[rarest])
        return cls(_quoted(rarest), share, share)

    @classmethod
    def of_a_beginning(cls, connection: sqlite3.Connection, term: str, share: float) -> "Lists":
        """Of all trigrams that begin with a short term: exactly those who have it."""
        return cls(" OR ".join(map(_quoted, _trigrams_from(connection, term))), share, share)

    def cost(self, *, looked_up: bool) -> float:
        """In ns per user of the directory; `looked_up`: if the text of each user found is read."""
        return ENTRY * self.entries + LOOKUP * self.found * looked_up


@dataclass(frozen=True, slots=True)
class Search:
    """A search for texts with one of `terms` in them, among users who meet `conditions` (SQL that begins with AND).

    Attributes:
        terms: those that most users have come first.
        share: of users who have one of them, roughly.
        expression: what to ask the trigram index for; "": nobody has any of them; None: read every text.
        is_exact: whether that finds exactly those users; otherwise, their texts are looked at.
    """

    terms: Sequence[str]
    conditions: str
    share: float
    expression: str | None
    is_exact: bool

    @classmethod
    def planned(cls, connection: sqlite3.Connection, terms: Sequence[str], conditions: str, sample: Sample) -> "Search":
        """The fastest way."""
        having = {term: sample.having(term) for term in terms}
        shares = {term: sample.share(len(found)) for term, found in having.items()}
        expression, is_exact = None, True
        if all(len(term) >= GRAM or share <= RARE for term, share in shares.items()):
            expression, is_exact = _expression(connection, shares, bool(conditions), sample)
        return cls(
            terms=sorted(terms, key=lambda term: -len(having[term])),
            conditions=conditions,
            share=sample.share(len(set().union(*having.values()))),
            expression=expression,
            is_exact=is_exact,
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
            user_id = "id" if self.expression is None else "trigrams.rowid"
            return window.ids(connection, f"SELECT {user_id} FROM {source}", values, user_id)
        descending = order is BY_SYNC
        if self.share < FEW:
            source, values = self._source(with_listing=True)
            select = f"SELECT listing.id FROM {source}"
            return window.ids(connection, select, values, f"+{order.value}", "listing.id", descending=descending)
        visited = (window.offset + window.limit) / self.share
        value = order.value if visited < users * (FEW + self.share / 3) else f"+{order.value}"
        source, values = self._every_text()
        return window.ids(connection, f"SELECT id FROM {source}", values, value, "id", descending=descending)

    def _source(self, *, with_listing: bool = False) -> tuple[str, Sequence[str]]:
        """FROM … WHERE …, and the values bound in it; `with_listing`: columns of `listing` are asked for."""
        if self.expression is None:
            return self._every_text()
        if not self.is_exact:
            contains, values = self._contains()
            return f"{_INDEX_AND_LISTING} AND ({contains}){self.conditions}", [self.expression, *values]
        source = _INDEX_AND_LISTING if self.conditions or with_listing else _INDEX
        return f"{source}{self.conditions}", [self.expression]

    def _every_text(self) -> tuple[str, Sequence[str]]:
        contains, values = self._contains()
        return f"listing WHERE ({contains}){self.conditions}", values

    def _contains(self) -> tuple[str, Sequence[str]]:
        """The condition that a text has one of the terms, and the values bound in it."""
        markers = sum(1 << MARKERS.index(term) for term in self.terms if term in MARKERS)
        others = [term for term in self.terms if term not in MARKERS]
        return " OR ".join([f"markers & {markers}", *["instr(listing.folded, ?)"] * len(others)]), others


_INDEX = "trigrams WHERE trigrams MATCH ?"
_INDEX_AND_LISTING = "trigrams CROSS JOIN listing ON listing.id = trigrams.rowid WHERE trigrams MATCH ?"


def _expression(
    connection: sqlite3.Connection, shares: Mapping[str, float], has_conditions: bool, sample: Sample
) -> tuple[str | None, bool]:
    """What to ask the index for, and whether that is exact; None where reading every text is faster."""
    short = [Lists.of_a_beginning(connection, term, share) for term, share in shares.items() if len(term) < GRAM]
    long = {term: share for term, share in shares.items() if len(term) >= GRAM}
    exact = [*short, *(Lists.of_all(term, share, sample) for term, share in long.items())]
    rough = [*short, *(Lists.of_the_rarest(term, sample) for term in long)]
    exact_cost = sum(lists.cost(looked_up=has_conditions) for lists in exact)
    rough_cost = sum(lists.cost(looked_up=True) for lists in rough)
    if min(exact_cost, rough_cost) > TEXT:
        return None, True
    is_exact = exact_cost <= rough_cost
    chosen = exact if is_exact else rough
    return " OR ".join(lists.expression for lists in chosen if lists.expression), is_exact


def _trigrams(text: str) -> set[str]:
    return {text[at : at + GRAM] for at in range(len(text) - GRAM + 1)}


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
