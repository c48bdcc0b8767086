"""Statistics: exact counts of users and certificates at a moment."""

import sqlite3
from collections import Counter
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
    by_status, by_type, by_reason = Counter[str](), Counter[str](), Counter[str]()
    for status, certificate_type, reason, count in connection.execute(
        "SELECT status, certificate_type, revocation_reason, sum(count) FROM certificate_counts"
        " GROUP BY issuer_number, status, certificate_type, revocation_reason"
    ):
        by_status[status] += count
        by_type[certificate_type] += count
        if status in (CertificateStatus.HELD, CertificateStatus.REVOKED):
            by_reason[reason] += count
    expired = EVERY_SORT.count_issued(connection, last=moment - 1)
    return CertificateStatistics(
        total=by_status.total(),
        active=by_status[CertificateStatus.ISSUED] - expired,
        revoked=by_reason.total(),
        expired=expired,
        pending=by_status[CertificateStatus.PENDING],
        expiring_30_days=EVERY_SORT.count_issued(connection, moment, pack_time(now + SOON)),
        by_type=dict(+by_type),
        revoked_by_reason=dict(+by_reason),
    )
