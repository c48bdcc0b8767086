"""Pages of users: filtered, searched, ordered, with exact totals."""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from datetime import datetime
from typing import Any

from shared.directory.replica.queries import Page, UserQuery, UserSummary
from shared.directory.replica.schema import FOLDED_NAME, SAME_AS_UPN
from shared.directory.replica.text_folding import fold
from shared.directory.replica.values import pack_time, unpack_guid, unpack_time, unpack_time_or_none

_ORDERS = {"id": "listing.id", "name": f"{FOLDED_NAME}, listing.id", "synced_at": "synced_at DESC, listing.id DESC"}

_ITEMS = """
SELECT id, object_id, user_principal_name, name, email, is_active, user_type,
    synced_at, deleted_at, created_at, updated_at
FROM users JOIN listing USING (id) WHERE id IN
"""


def user_page(connection: sqlite3.Connection, query: UserQuery, round_started_at: datetime | None) -> Page[UserSummary]:
    where, arguments = _condition(query, round_started_at)
    (total,) = connection.execute(f"SELECT count(*) FROM listing WHERE {where}", arguments).fetchone()
    offset = (query.page - 1) * query.per_page
    ids = connection.execute(
        f"SELECT id FROM listing WHERE {where} ORDER BY {_ORDERS[query.sort]} LIMIT ? OFFSET ?",
        (*arguments, query.per_page, offset),
    ).fetchall()
    items = user_summaries(connection, [row[0] for row in ids], round_started_at)
    return Page(items=items, total=total, page=query.page, per_page=query.per_page)


def user_summaries(
    connection: sqlite3.Connection, ids: list[int], round_started_at: datetime | None
) -> tuple[UserSummary, ...]:
    """The users of these ids, in this order."""
    rows = connection.execute(f"{_ITEMS} ({', '.join('?' * len(ids))})", ids)
    found = {row[0]: _summary(row, round_started_at) for row in rows}
    return tuple(found[user_id] for user_id in ids)


def _condition(query: UserQuery, round_started_at: datetime | None) -> tuple[str, list[Any]]:
    parts, arguments = ["TRUE"], list[Any]()
    if query.active is not None:
        parts.append("is_active = ?")
        arguments.append(query.active)
    if query.synced_since and not (round_started_at and round_started_at >= query.synced_since):
        parts.append("synced_at >= ?")
        arguments.append(pack_time(query.synced_since))
    if query.search:
        parts.append("instr(folded, ?)")
        arguments.append(fold(query.search))
    return " AND ".join(parts), arguments


def _summary(row: tuple[Any, ...], round_started_at: datetime | None) -> UserSummary:
    user_id, object_id, upn, name, email, active, user_type, synced_at, deleted_at, created_at, updated_at = row
    synced = unpack_time(synced_at) if synced_at else None
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
