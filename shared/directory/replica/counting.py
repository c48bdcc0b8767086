"""Statistics: exact counts of users and certificates at a moment."""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from datetime import datetime, timedelta

from shared.directory.records.certificate import CertificateStatus
from shared.directory.replica.certificate_counts import EVERY_SORT
from shared.directory.replica.queries import CertificateStatistics, Statistics, UserStatistics
from shared.directory.replica.ranks import count_since
from shared.directory.replica.values import pack_time

RECENTLY = timedelta(hours=24)
SOON = timedelta(days=30)


def statistics(connection: sqlite3.Connection, now: datetime, round_started_at: datetime | None) -> Statistics:
    return Statistics(users=_users(connection, now, round_started_at), certificates=_certificates(connection, now))


def count_users(connection: sqlite3.Connection, active: bool | None = None) -> int:
    """All users, or only the active or the inactive ones."""
    counts = _user_counts(connection)
    return {None: counts["total"], True: counts["active"], False: counts["total"] - counts["active"]}[active]


def _users(connection: sqlite3.Connection, now: datetime, round_started_at: datetime | None) -> UserStatistics:
    counts = _user_counts(connection)
    since = now - RECENTLY
    covered = round_started_at is not None and round_started_at >= since
    return UserStatistics(
        total=counts["total"],
        active=counts["active"],
        inactive=counts["total"] - counts["active"],
        deleted=counts["deleted"],
        synced_last_24h=counts["total"] if covered else count_since(connection, None, pack_time(since)),
        guests=counts["guests"],
    )


def _user_counts(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT name, value FROM user_counts"))


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
