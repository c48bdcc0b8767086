"""Statistics: exact counts of users and certificates at a moment."""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from datetime import datetime, timedelta

from shared.directory.records.certificate import CertificateStatus
from shared.directory.replica.certificate_counts import EVERY_SORT
from shared.directory.replica.queries import CertificateStatistics, Statistics, UserStatistics
from shared.directory.replica.ranks import BY_ID, BY_SYNC, count_from
from shared.directory.replica.values import pack_time

RECENTLY = timedelta(hours=24)
SOON = timedelta(days=30)


def statistics(connection: sqlite3.Connection, now: datetime, round_started_at: datetime | None) -> Statistics:
    return Statistics(users=_users(connection, now, round_started_at), certificates=_certificates(connection, now))


def _users(connection: sqlite3.Connection, now: datetime, round_started_at: datetime | None) -> UserStatistics:
    counts = dict(connection.execute("SELECT name, value FROM user_counts"))
    total, active = connection.execute(
        "SELECT sum(size), sum(active) FROM blocks WHERE sort = ?", (BY_ID.name,)
    ).fetchone()
    since = now - RECENTLY
    if round_started_at and round_started_at >= since:
        recent = total
    else:
        recent = count_from(connection, BY_SYNC, None, (pack_time(since), BY_SYNC.start[1]))
    return UserStatistics(
        total=total,
        active=active,
        inactive=total - active,
        deleted=counts["deleted"],
        synced_last_24h=recent,
        guests=counts["guests"],
    )


def _certificates(connection: sqlite3.Connection, now: datetime) -> CertificateStatistics:
    moment = pack_time(now)
    by_type = _counts_by(connection, "certificate_type")
    by_status = _counts_by(connection, "status")
    expired = EVERY_SORT.count_issued(connection, last=moment - 1)
    return CertificateStatistics(
        total=sum(by_type.values()),
        active=by_status.get(CertificateStatus.ISSUED, 0) - expired,
        revoked=by_status.get(CertificateStatus.REVOKED, 0) + by_status.get(CertificateStatus.HELD, 0),
        expired=expired,
        pending=by_status.get(CertificateStatus.PENDING, 0),
        expiring_30_days=EVERY_SORT.count_issued(connection, moment, pack_time(now + SOON)),
        by_type=by_type,
        revoked_by_reason=_counts_by(connection, "revocation_reason", "status IN ('held', 'revoked')"),
    )


def _counts_by(connection: sqlite3.Connection, column: str, condition: str = "TRUE") -> dict[str, int]:
    return dict(
        connection.execute(
            f"SELECT {column}, sum(count) FROM certificate_counts WHERE {condition} GROUP BY 1 HAVING sum(count) > 0"
        )
    )
