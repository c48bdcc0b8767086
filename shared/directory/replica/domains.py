"""Stands one character for the end of most addresses, as nearly all of a tenant's share a few domains.

In a searchable text, `ada@contoso.example` becomes `ada` and a marker. That makes the index half as large, and a search
for a marker finds everybody of the domain. Which domains have a marker is settled when a file is built; addresses of
others are kept as they are.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping

from shared.directory.replica.text_folding import MARKERS

LEAST_SHARE = 0.01
"""Of the addresses looked at, for a domain to get a marker."""


class Domains:
    """Markers by domain, both as texts."""

    def __init__(self, markers: Mapping[str, str]) -> None:
        self._markers = dict(markers)
        self._endings = {f"@{domain}": marker for domain, marker in markers.items()}
        self._expanded = str.maketrans({marker: ending for ending, marker in self._endings.items()})

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> "Domains":
        """Those of a replica file."""
        return cls(dict(connection.execute("SELECT domain, marker FROM domains")))

    @classmethod
    def common(cls, addresses: Iterable[str]) -> "Domains":
        """Those that many of these folded addresses share."""
        counts = Counter(domain for _, at, domain in (address.rpartition("@") for address in addresses) if at)
        least = LEAST_SHARE * counts.total()
        common = (domain for domain, count in counts.most_common(len(MARKERS)) if count >= least and domain)
        return cls(dict(zip(common, MARKERS, strict=False)))

    def save(self, connection: sqlite3.Connection) -> None:
        connection.executemany("INSERT INTO domains VALUES (?, ?)", self._markers.items())

    def shorten(self, address: str) -> str:
        """A folded address, with its marker if it has one."""
        head, at, domain = address.rpartition("@")
        return head + self._markers[domain] if at and domain in self._markers else address

    def markers_in(self, text: str) -> int:
        """The markers in a shortened text, as bits by their place in MARKERS."""
        return sum(1 << MARKERS.index(marker) for marker in self._markers.values() if marker in text)

    def expand(self, text: str) -> str:
        """What `shorten` was given."""
        return text.translate(self._expanded)

    def alternatives(self, term: str) -> list[str]:
        """Texts of which a shortened text contains one if, and only if, the text in full contains the folded term.

        A term is found as it is; or inside an ending; or it begins before an ending and reaches into it.
        """
        inside = [marker for ending, marker in self._endings.items() if term in ending]
        across = [
            term[:at] + marker
            for at in range(1, len(term))
            if term[at] == "@"
            for ending, marker in self._endings.items()
            if ending.startswith(term[at:])
        ]
        return [term, *inside, *across]
