"""What can be answered from the table alone while the replica of a young instance is still being built.

Users in their default order, because ids are dense: a page is a range of keys. The certificates of a page's users,
because an index by user has them next to each other. Slower than the replica, and exact, or not answered at all.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.directory.head import Head
from shared.directory.records.base import Record
from shared.directory.records.certificate import (
    Certificate,
    CertificateKind,
    UserCertificate,
    certificate_key,
    user_certificates_prefix,
)
from shared.directory.records.user import LOCAL_USERS, User, user_key
from shared.directory.replica.errors import ReplicaBuilding
from shared.directory.replica.queries import (
    CertificateQuery,
    CertificateSummary,
    EffectiveStatus,
    Page,
    UserQuery,
    UserSummary,
    effective_status,
)
from shared.directory.replica.source import Source

FARTHEST = 1000
"""Ids between the first and the last user whose certificates are asked for; a page's users are neighbours."""


def user_page(source: Source, head: Head, query: UserQuery, round_started_at: datetime | None) -> Page[UserSummary]:
    """Raises: ReplicaBuilding for a search, a filter or another order, or where local users make holes in the ids."""
    filtered = query.active is not None or query.synced_since is not None or bool(query.search)
    if filtered or query.sort != "id" or head.next_ids.get(LOCAL_USERS, 1) > 1:
        raise ReplicaBuilding
    total = head.next_ids.get("user", 1) - 1
    first = min((query.page - 1) * query.per_page, total) + 1
    last = min(first + query.per_page, total + 1)
    users = list(source.scan(User, start=user_key(first), end=user_key(last))) if first < last else []
    if any(user.object_id is None for user in users):
        raise ReplicaBuilding
    items = tuple(_user_summary(user, round_started_at) for user in users)
    return Page(items=items, total=total, page=query.page, per_page=query.per_page)


def certificate_page(source: Source, query: CertificateQuery, now: datetime) -> Page[CertificateSummary]:
    """Raises: ReplicaBuilding for certificates of more than one user."""
    if query.user_id is None:
        raise ReplicaBuilding
    found = [summary for summary in _of_users(source, [query.user_id], now) if _fits(summary, query, now)]
    first = (query.page - 1) * query.per_page
    items = tuple(found[first : first + query.per_page])
    return Page(items=items, total=len(found), page=query.page, per_page=query.per_page)


def active_certificates(
    source: Source, user_ids: Sequence[int], now: datetime
) -> Mapping[int, tuple[CertificateSummary, ...]]:
    """Raises: ReplicaBuilding for users far apart."""
    found: dict[int, list[CertificateSummary]] = defaultdict(list)
    for summary in _of_users(source, user_ids, now):
        if summary.effective_status is EffectiveStatus.ACTIVE:
            found[summary.user_id or 0].append(summary)
    return {user_id: tuple(summaries) for user_id, summaries in found.items()}


def _of_users(source: Source, user_ids: Sequence[int], now: datetime) -> list[CertificateSummary]:
    """All certificates of these users, by id."""
    first, last = min(user_ids, default=0), max(user_ids, default=0)
    if last - first > FARTHEST:
        raise ReplicaBuilding
    start, end = user_certificates_prefix(first), f"{user_certificates_prefix(last)}~"  # "~" comes after every digit
    wanted = frozenset(user_ids)
    links = source.scan(UserCertificate, start=start, end=end) if wanted else ()
    keys = [certificate_key(link.certificate_id) for link in links if link.user_id in wanted]
    certificates = source.get_many(Certificate, keys) if keys else {}
    ordered = (certificates[key] for key in sorted(certificates))
    return [_certificate_summary(found, now) for found in ordered if found.kind is CertificateKind.ENTRA_USER]


def _fits(summary: CertificateSummary, query: CertificateQuery, now: datetime) -> bool:
    within = query.expiring_within
    active = summary.effective_status is EffectiveStatus.ACTIVE
    return (
        query.status in (None, summary.effective_status)
        and query.certificate_type in (None, summary.certificate_type)
        and query.issuer_id in (None, summary.issuer_id)
        and query.serial_number in (None, summary.serial_number)
        and (within is None or (active and summary.not_after <= now + within))
    )


def _user_summary(user: User, round_started_at: datetime | None) -> UserSummary:
    moments = [moment for moment in (user.synced_at, round_started_at) if moment]
    return UserSummary(**{**_replicated(user), "synced_at": max(moments, default=None)})


def _certificate_summary(certificate: Certificate, now: datetime) -> CertificateSummary:
    status = effective_status(certificate.status, certificate.not_after, now)
    return CertificateSummary(**_replicated(certificate), effective_status=status)


def _replicated(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.REPLICATED}
