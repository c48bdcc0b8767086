"""Where the nth user stands in an order, without counting from the first.

For each order, the users are cut into blocks of about a thousand neighbours. A block is known by the place of its first
user and knows how many users, and how many active ones, it holds. A page is found by adding up blocks and then walking
through one of them. The blocks cover each order without gaps: one reaches to where the next begins.
"""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import Any

from shared.directory.replica.schema import FOLDED_NAME

BLOCK_SIZE = 1024
LARGEST_BLOCK = 2 * BLOCK_SIZE

Place = tuple[Any, int]
"""The value that an order goes by, and the user's id, which decides between equals."""

_LOWEST = -(2**63)


@dataclass(frozen=True, slots=True)
class Order:
    """An ascending order of the users.

    Attributes:
        name: what `blocks` calls it.
        value: what it goes by, in SQL, as an index of `listing` has it.
        start: a place before all others.
    """

    name: str
    value: str
    start: Place


BY_ID = Order("id", "id", (_LOWEST, _LOWEST))
BY_NAME = Order("name", FOLDED_NAME, ("", _LOWEST))
BY_SYNC = Order("synced_at", "synced_at", (_LOWEST, _LOWEST))
ORDERS = {order.name: order for order in (BY_ID, BY_NAME, BY_SYNC)}

_SIZES = {None: "size", True: "active", False: "size - active"}


def ids_between(connection: sqlite3.Connection, order: Order, active: bool | None, first: int, last: int) -> list[int]:
    """The ids of the users with first ≤ rank < last, by rank from 0, among all or only the active or inactive ones."""
    start, before = order.start, 0
    for value, user_id, size in connection.execute(
        f"SELECT value, id, {_SIZES[active]} FROM blocks WHERE sort = ? ORDER BY value, id", (order.name,)
    ):
        start = value, user_id
        if before + size > first:
            break
        before += size
    condition = "" if active is None else f"AND is_active = {active:d}"
    return [row[0] for row in _from(connection, "id", order, start, last - first, condition, first - before)]


def count_since(connection: sqlite3.Connection, active: bool | None, synced_at: int) -> int:
    """How many users were synced at this moment (microseconds since 1970) or after it."""
    after = connection.execute(
        f"SELECT value, id, {_SIZES[active]} FROM blocks WHERE sort = ? AND value >= ? ORDER BY value, id",
        (BY_SYNC.name, synced_at),
    ).fetchall()
    condition = "" if active is None else f"AND is_active = {active:d}"
    next_value, next_id = after[0][:2] if after else (-_LOWEST - 1, 0)
    (here,) = connection.execute(
        f"SELECT (SELECT count(*) FROM listing WHERE synced_at >= :since AND synced_at < :next {condition})"
        f" + (SELECT count(*) FROM listing WHERE synced_at = :next AND id < :next_id {condition})",
        {"since": synced_at, "next": next_value, "next_id": next_id},
    ).fetchone()
    return int(here + sum(size for _, _, size in after))


class RankWriter:
    """Keeps the blocks in step with `listing`, inside the transaction that changes it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sizes: Counter[tuple[str, Any, int]] = Counter()
        self._actives: Counter[tuple[str, Any, int]] = Counter()

    def enter(self, order: Order, place: Place, active: bool) -> None:
        """A user now stands at this place."""
        self._change(order, place, active, 1)

    def leave(self, order: Order, place: Place, active: bool) -> None:
        self._change(order, place, active, -1)

    def flush(self) -> None:
        """Writes the counts, once `listing` is as it will be: cuts blocks that have grown, drops empty ones."""
        for block in self._sizes:
            self._connection.execute(
                f"UPDATE blocks SET size = size + ?, active = active + ? WHERE {_IS}",
                (self._sizes[block], self._actives[block], *block),
            )
            (size,) = self._connection.execute(f"SELECT size FROM blocks WHERE {_IS}", block).fetchone()
            order, start = ORDERS[block[0]], block[1:]
            if size > LARGEST_BLOCK:
                self._cut(order, start, size)
            elif size == 0 and start != order.start:
                self._connection.execute(f"DELETE FROM blocks WHERE {_IS}", block)
        self._sizes.clear()
        self._actives.clear()

    def fill(self) -> None:
        """Makes all blocks anew from `listing`."""
        (size,) = self._connection.execute("SELECT count(*) FROM listing").fetchone()
        self._connection.execute("DELETE FROM blocks")
        for order in ORDERS.values():
            self._cut(order, order.start, size)

    def _change(self, order: Order, place: Place, active: bool, step: int) -> None:
        block = self._connection.execute(
            f"SELECT sort, value, id FROM blocks WHERE sort = ? AND {_AT_OR_BEFORE}", (order.name, *place)
        ).fetchone()
        self._sizes[block] += step
        self._actives[block] += step * active

    def _cut(self, order: Order, start: Place, size: int) -> None:
        """Replaces one block with as many as its users need."""
        users = _from(self._connection, f"{order.value}, id, is_active", order, start, size)
        chunks = [users[at : at + BLOCK_SIZE] for at in range(0, len(users), BLOCK_SIZE)] or [[]]
        self._connection.executemany(
            "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?)",
            (
                (order.name, *(chunk[0][:2] if number else start), len(chunk), sum(active for _, _, active in chunk))
                for number, chunk in enumerate(chunks)
            ),
        )


_IS = "sort = ? AND value = ? AND id = ?"
_AT_OR_BEFORE = "(value, id) <= (?, ?) ORDER BY value DESC, id DESC LIMIT 1"


def _from(
    connection: sqlite3.Connection,
    columns: str,
    order: Order,
    start: Place,
    limit: int,
    condition: str = "",
    skip: int = 0,
) -> list[tuple[Any, ...]]:
    """At most `limit` users from `start` on, after leaving out some.

    In two steps, those of the same value and those of greater ones, because only so SQLite enters an index on the
    value at a place.
    """
    select = f"SELECT {columns} FROM listing WHERE {order.value}"
    same = connection.execute(
        f"{select} = ? AND id >= ? {condition} ORDER BY id LIMIT ?", (*start, skip + limit)
    ).fetchall()
    found = same[skip:]
    greater = connection.execute(
        f"{select} > ? {condition} ORDER BY {order.value}, id LIMIT ? OFFSET ?",
        (start[0], limit - len(found), max(0, skip - len(same))),
    ).fetchall()
    return [*found, *greater]
