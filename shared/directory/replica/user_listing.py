"""Pages of users: filtered, searched, ordered, with exact totals."""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.directory.replica.counting import count_users
from shared.directory.replica.domains import Domains
from shared.directory.replica.queries import Page, UserQuery, UserSummary
from shared.directory.replica.ranks import BY_SYNC, ORDERS, count_since, ids_between
from shared.directory.replica.schema import AS_FOLDED, SAME_AS_UPN
from shared.directory.replica.searching import FEW, Sample, Search
from shared.directory.replica.text_folding import FIELD_END, fold
from shared.directory.replica.values import pack_time, unpack_guid, unpack_time, unpack_time_or_none
from shared.directory.replica.windows import Window

REMEMBERED_TOTALS = 512


@dataclass(frozen=True, slots=True)
class Filters:
    """What a page's users have in common, but for the search."""

    active: bool | None
    synced_since: int | None
    """Microseconds since 1970; None where everybody is recent enough."""

    @property
    def conditions(self) -> str:
        """SQL about `listing`, to follow a condition; "" without filters."""
        active = "" if self.active is None else f" AND is_active = {self.active:d}"
        return active if self.synced_since is None else f"{active} AND synced_at >= {self.synced_since}"


class UserLister:
    """Answers queries about users. It remembers totals that took a look at every user, as long as no user changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: OrderedDict[tuple[Filters, str], int] = OrderedDict()
        self._totals_of = ""
        self._sample = Sample((), 0)

    def page(
        self, connection: sqlite3.Connection, query: UserQuery, round_started_at: datetime | None
    ) -> Page[UserSummary]:
        """See `Replica.users`. To be called in a read transaction."""
        filters = Filters(query.active, _since(query, round_started_at))
        term = fold(query.search or "")
        if term:
            total, ids = self._searched(connection, query, filters, term)
        elif filters.synced_since is None or query.sort == "synced_at":
            total, ids = _ranked(connection, query, filters)
        else:
            total, ids = _recent(connection, query, filters)
        items = _summaries(connection, ids, round_started_at)
        return Page(items=items, total=total, page=query.page, per_page=query.per_page)

    def _searched(
        self, connection: sqlite3.Connection, query: UserQuery, filters: Filters, term: str
    ) -> tuple[int, list[int]]:
        users = count_users(connection)
        if not self._sample.fits(users):
            self._sample = Sample.of(connection, users)
        terms = Domains.of(connection).alternatives(term)
        search = Search.planned(connection, terms, filters.conditions, self._sample)
        if search.is_empty:
            return 0, []
        total = self._total(connection, (filters, term), search)
        return total, search.ids(connection, ORDERS[query.sort], Window.of(query.page, query.per_page, total), users)

    def _total(self, connection: sqlite3.Connection, key: tuple[Filters, str], search: Search) -> int:
        (users_hash,) = connection.execute("SELECT users_hash FROM position").fetchone()
        with self._lock:
            if self._totals_of != users_hash:
                self._totals.clear()
                self._totals_of = users_hash
            if key in self._totals:
                self._totals.move_to_end(key)
                return self._totals[key]
        total = search.count(connection)
        with self._lock:
            if self._totals_of == users_hash:
                self._totals[key] = total
                while len(self._totals) > REMEMBERED_TOTALS:
                    self._totals.popitem(last=False)
        return total


def _ranked(connection: sqlite3.Connection, query: UserQuery, filters: Filters) -> tuple[int, list[int]]:
    """Without a search, a page is found by rank."""
    order = ORDERS[query.sort]
    everybody = count_users(connection, filters.active)
    total = everybody
    if filters.synced_since is not None:
        total = count_since(connection, filters.active, filters.synced_since)
    first = min((query.page - 1) * query.per_page, total)
    last = min(first + query.per_page, total)
    if order is BY_SYNC:  # latest first: ranks count from the other end
        ids = ids_between(connection, order, filters.active, everybody - last, everybody - first)
        return total, ids[::-1]
    return total, ids_between(connection, order, filters.active, first, last)


def _recent(connection: sqlite3.Connection, query: UserQuery, filters: Filters) -> tuple[int, list[int]]:
    """The recently synced, in another order than that of their sync."""
    assert filters.synced_since is not None
    users = count_users(connection)
    total = count_since(connection, filters.active, filters.synced_since)
    window, order = Window.of(query.page, query.per_page, total), ORDERS[query.sort]
    if total < FEW * users:
        source = f"listing INDEXED BY listing_by_sync WHERE TRUE{filters.conditions}"
        return total, window.ids(connection, f"SELECT id FROM {source}", (), f"+{order.value}", "id")
    source = f"listing NOT INDEXED WHERE TRUE{filters.conditions}"
    return total, window.ids(connection, f"SELECT id FROM {source}", (), order.value, "id")


def _since(query: UserQuery, round_started_at: datetime | None) -> int | None:
    if query.synced_since is None or (round_started_at and round_started_at >= query.synced_since):
        return None
    return pack_time(query.synced_since)


_ITEMS = """
SELECT id, object_id, user_principal_name, name, email, is_active, user_type,
    synced_at, deleted_at, created_at, updated_at, folded
FROM users JOIN listing USING (id) WHERE id IN
"""


def _summaries(
    connection: sqlite3.Connection, ids: Sequence[int], round_started_at: datetime | None
) -> tuple[UserSummary, ...]:
    """The users of these ids, in this order."""
    domains = Domains.of(connection)
    rows = connection.execute(f"{_ITEMS} ({', '.join('?' * len(ids))})", ids)
    found = {row[0]: _summary(row, round_started_at, domains) for row in rows}
    return tuple(found[user_id] for user_id in ids)


def _summary(row: tuple[Any, ...], round_started_at: datetime | None, domains: Domains) -> UserSummary:
    user_id, object_id, upn, name, email, active, user_type, synced_at, deleted_at, created_at, updated_at, folded = row
    synced = unpack_time(synced_at) if synced_at else None
    if upn == AS_FOLDED:
        upn = domains.expand(folded.split(FIELD_END, 2)[1])
    return UserSummary(
        id=user_id,
        object_id=unpack_guid(object_id),
        user_principal_name=upn,
        name=name,
        email=upn if email == SAME_AS_UPN else email,
        is_active=bool(active),
        user_type=user_type,
        synced_at=max((moment for moment in (synced, round_started_at) if moment), default=None),
        deleted_at=unpack_time_or_none(deleted_at),
        created_at=unpack_time(created_at),
        updated_at=unpack_time(updated_at),
    )
