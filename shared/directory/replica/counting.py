"""Statistics: exact counts of users and certificates at a moment."""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from collections import Counter
from datetime import datetime, timedelta

from shared.directory.records.certificate import CertificateStatus, RevocationReason
from shared.directory.replica.certificate_listing import OF_USERS
from shared.directory.replica.queries import CertificateStatistics, Statistics, UserStatistics
from shared.directory.replica.values import pack_time

RECENTLY = timedelta(hours=24)
SOON = timedelta(days=30)


def statistics(connection: sqlite3.Connection, now: datetime, round_started_at: datetime | None) -> Statistics:
    return Statistics(users=_users(connection, now, round_started_at), certificates=_certificates(connection, now))


def _users(connection: sqlite3.Connection, now: datetime, round_started_at: datetime | None) -> UserStatistics:
    counts = Counter(dict(connection.execute("SELECT name, value FROM user_counts")))
    since = now - RECENTLY
    if round_started_at and round_started_at >= since:
        recent = counts["total"]
    else:
        (recent,) = connection.execute(
            "SELECT count(*) FROM listing WHERE synced_at >= ?", (pack_time(since),)
        ).fetchone()
    return UserStatistics(
        total=counts["total"],
        active=counts["active"],
        inactive=counts["total"] - counts["active"],
        deleted=counts["deleted"],
        synced_last_24h=recent,
        guests=counts["guests"],
    )


def _certificates(connection: sqlite3.Connection, now: datetime) -> CertificateStatistics:
    by_status, by_type, by_reason = Counter[str](), Counter[str](), Counter[str]()
    rows = connection.execute(
        "SELECT status, certificate_type, revocation_reason, not_after < :now, not_after <= :soon, count(*)"
        f" FROM certificates WHERE {OF_USERS} GROUP BY 1, 2, 3, 4, 5",
        {"now": pack_time(now), "soon": pack_time(now + SOON)},
    )
    for status, certificate_type, reason, ended, ends_soon, count in rows:
        by_type[certificate_type] += count
        if status in (CertificateStatus.HELD, CertificateStatus.REVOKED):
            by_status["revoked"] += count
            by_reason[reason or RevocationReason.UNSPECIFIED.value] += count
        elif status == CertificateStatus.PENDING:
            by_status["pending"] += count
        else:
            by_status["expired" if ended else "active"] += count
            by_status["expiring"] += 0 if ended or not ends_soon else count
    return CertificateStatistics(
        total=by_type.total(),
        active=by_status["active"],
        revoked=by_status["revoked"],
        expired=by_status["expired"],
        pending=by_status["pending"],
        expiring_30_days=by_status["expiring"],
        by_type=dict(by_type),
        revoked_by_reason=dict(by_reason),
    )
