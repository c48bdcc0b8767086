"""The part of an ordered list that a page shows, read from the list's nearer end."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Window:
    """`offset` entries to skip and `limit` to take, from the end of the list if `reverse`."""

    offset: int
    limit: int
    reverse: bool

    @classmethod
    def of(cls, page: int, per_page: int, total: int) -> "Window":
        offset = min((page - 1) * per_page, total)
        limit = min(per_page, total - offset)
        if offset <= total // 2:
            return cls(offset, limit, reverse=False)
        return cls(total - offset - limit, limit, reverse=True)

    def ids(
        self,
        connection: sqlite3.Connection,
        select: str,
        values: Sequence[Any] | Mapping[str, Any],
        *order: str,
        descending: bool = False,
    ) -> list[int]:
        """The first column of the query's rows in the window, in the list's order; `order` is a list of SQL terms."""
        if self.limit == 0:
            return []
        way = "DESC" if descending != self.reverse else "ASC"
        terms = ", ".join(f"{term} {way}" for term in order)
        rows = connection.execute(
            f"{select} ORDER BY {terms} LIMIT {self.limit} OFFSET {self.offset}", values
        ).fetchall()
        return [row[0] for row in (reversed(rows) if self.reverse else rows)]
