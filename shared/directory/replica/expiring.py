"""Certificates about to end that nothing has taken the place of: as a list, and those that a notice is due for."""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.directory.replica.certificate_listing import summaries
from shared.directory.replica.queries import CertificateSummary, DueNotice, ExpiringCertificates, Page
from shared.directory.replica.schema import NOTICED_DAYS
from shared.directory.replica.values import pack_time

_NOT_RENEWED = (
    "NOT EXISTS (SELECT 1 FROM certificates AS successor WHERE successor.id = certificates.renewed_by"
    " AND successor.status IN ('issued', 'held'))"
)
_OF_USERS = "kind = 'entra_user' AND status = 'issued'"


def expiring_page(
    connection: sqlite3.Connection, query: ExpiringCertificates, now: datetime
) -> Page[CertificateSummary]:
    """By their end, the next first."""
    conditions = f"{_OF_USERS} AND not_after BETWEEN :now AND :end AND {_NOT_RENEWED}"
    values: dict[str, int | str] = {"now": pack_time(now), "end": pack_time(now + query.within)}
    if query.certificate_type is not None:
        conditions += " AND certificate_type = :certificate_type"
        values["certificate_type"] = query.certificate_type.value
    if query.user_id is not None:
        conditions += " AND user_id = :user_id"
        values["user_id"] = query.user_id
    source = f"certificates INDEXED BY certificates_by_end WHERE {conditions}"
    (total,) = connection.execute(f"SELECT count(*) FROM {source}", values).fetchone()
    window = {"limit": query.per_page, "offset": (query.page - 1) * query.per_page}
    rows = connection.execute(
        f"SELECT id FROM {source} ORDER BY not_after, id LIMIT :limit OFFSET :offset", values | window
    )
    ids = [row[0] for row in rows]
    found = {each.id: each for each in summaries(connection, ids, now)}
    return Page(items=tuple(found[number] for number in ids), total=total, page=query.page, per_page=query.per_page)


def due_notices(connection: sqlite3.Connection, days: Sequence[int], now: datetime, at_most: int) -> list[DueNotice]:
    """The certificates for which a notice is due, each with the shortest of the `days` that it is within.

    Reads no more rows than are due (and those renewed that are still valid), whatever else there is: for each number
    of days that some certificate's last notice was for, one range of the index.
    """
    found: dict[int, DueNotice] = {}
    for before_end in sorted(days):
        end = pack_time(now + timedelta(days=before_end))
        for noticed in _distinct_noticed(connection, before_end) if len(found) < at_most else ():
            rows = connection.execute(
                f"SELECT id FROM certificates INDEXED BY certificates_by_notice WHERE {_OF_USERS}"
                f" AND {NOTICED_DAYS} = ? AND not_after BETWEEN ? AND ? AND {_NOT_RENEWED} ORDER BY not_after LIMIT ?",
                (noticed, pack_time(now), end, max(0, at_most - len(found))),
            )
            for (certificate_id,) in rows:
                found.setdefault(certificate_id, DueNotice(certificate_id, before_end))
    return list(found.values())


def _distinct_noticed(connection: sqlite3.Connection, above: int) -> list[int]:
    """Found one after the other in the index, so that their number counts and not that of the certificates."""
    select = f"SELECT min({NOTICED_DAYS}) FROM certificates INDEXED BY certificates_by_notice WHERE {_OF_USERS}"
    found: list[int] = []
    last = above
    while True:
        (noticed,) = connection.execute(f"{select} AND {NOTICED_DAYS} > ?", (last,)).fetchone()
        if noticed is None:
            return found
        found.append(noticed)
        last = noticed
