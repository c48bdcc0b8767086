"""Pages of certificates, the active ones of given users, and what belongs into a CRL."""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.directory.records.certificate import (
    CertificateKind,
    CertificateStatus,
    CertificateType,
    KeyOrigin,
    RevocationReason,
    RevocationSource,
)
from shared.directory.replica.queries import (
    CertificateQuery,
    CertificateSummary,
    EffectiveStatus,
    Page,
    RevokedCertificate,
    effective_status,
)
from shared.directory.replica.values import pack_hex, pack_time, unpack_time, unpack_time_or_none

OF_USERS = "kind = 'entra_user'"
_ITEMS = (
    "SELECT certificates.*, issuers.issuer_id, issuers.issuer FROM certificates JOIN issuers ON number = issuer_number"
)

_STATUS_CONDITIONS = {
    EffectiveStatus.PENDING: "status = 'pending'",
    EffectiveStatus.ACTIVE: "status = 'issued' AND not_after >= :now",
    EffectiveStatus.EXPIRED: "status = 'issued' AND not_after < :now",
    EffectiveStatus.HELD: "status = 'held'",
    EffectiveStatus.REVOKED: "status = 'revoked'",
}


def certificate_page(
    connection: sqlite3.Connection, query: CertificateQuery, now: datetime
) -> Page[CertificateSummary]:
    where, arguments = _condition(query, now)
    (total,) = connection.execute(f"SELECT count(*) FROM certificates WHERE {where}", arguments).fetchone()
    offset = (query.page - 1) * query.per_page
    rows = connection.execute(
        f"{_ITEMS} WHERE {where} ORDER BY certificates.id LIMIT :limit OFFSET :offset",
        {**arguments, "limit": query.per_page, "offset": offset},
    )
    items = tuple(_summary(row, now) for row in rows)
    return Page(items=items, total=total, page=query.page, per_page=query.per_page)


def active_certificates(
    connection: sqlite3.Connection, user_ids: Sequence[int], now: datetime
) -> Mapping[int, tuple[CertificateSummary, ...]]:
    """The active certificates of each of the users, by id; users without one are left out."""
    found: dict[int, list[CertificateSummary]] = defaultdict(list)
    marks = ", ".join("?" * len(user_ids))
    rows = connection.execute(
        f"{_ITEMS} WHERE user_id IN ({marks}) AND {OF_USERS} AND status = 'issued' AND not_after >= ?"
        " ORDER BY certificates.id",
        (*user_ids, pack_time(now)),
    )
    for row in rows:
        certificate = _summary(row, now)
        found[certificate.user_id or 0].append(certificate)
    return {user_id: tuple(certificates) for user_id, certificates in found.items()}


def revoked_certificates(connection: sqlite3.Connection, issuer_id: str) -> Iterator[RevokedCertificate]:
    """What is revoked or on hold of an issuer, whomever it is for, by serial number; the expired ones included."""
    rows = connection.execute(
        "SELECT serial_number, coalesce(revoked_at, updated_at), revocation_reason, not_after, certificate_type"
        " FROM certificates WHERE issuer_number IN (SELECT number FROM issuers WHERE issuer_id = ?)"
        " AND status IN ('held', 'revoked') ORDER BY serial_number",
        (issuer_id,),
    )
    for serial_number, revoked_at, reason, not_after, certificate_type in rows:
        yield RevokedCertificate(
            serial_number=serial_number.hex(),
            revoked_at=unpack_time(revoked_at),
            reason=RevocationReason(reason) if reason else RevocationReason.UNSPECIFIED,
            not_after=unpack_time(not_after),
            certificate_type=CertificateType(certificate_type) if certificate_type else None,
        )


def _condition(query: CertificateQuery, now: datetime) -> tuple[str, dict[str, Any]]:
    parts, arguments = [OF_USERS], dict[str, Any](now=pack_time(now))
    if query.user_id is not None:
        parts.append("user_id = :user_id")
        arguments["user_id"] = query.user_id
    if query.status is not None:
        parts.append(_STATUS_CONDITIONS[query.status])
    if query.certificate_type is not None:
        parts.append("certificate_type = :certificate_type")
        arguments["certificate_type"] = query.certificate_type
    if query.expiring_within is not None:
        parts.append(f"{_STATUS_CONDITIONS[EffectiveStatus.ACTIVE]} AND not_after <= :until")
        arguments["until"] = pack_time(now + query.expiring_within)
    if query.issuer_id is not None:
        parts.append("issuer_number IN (SELECT number FROM issuers WHERE issuer_id = :issuer_id)")
        arguments["issuer_id"] = query.issuer_id
    if query.serial_number is not None:
        parts.append("serial_number = :serial_number")
        arguments["serial_number"] = _serial_or_none(query.serial_number)
    return " AND ".join(parts), arguments


def _serial_or_none(text: str) -> bytes | None:
    """None, which equals nothing, for what is no serial number."""
    try:
        return pack_hex(text)
    except ValueError:
        return None


def _summary(row: tuple[Any, ...], now: datetime) -> CertificateSummary:
    (
        certificate_id,
        kind,
        user_id,
        certificate_type,
        status,
        _,
        serial_number,
        subject,
        not_before,
        not_after,
        key_type,
        key_size,
        key_origin,
        user_principal_name,
        email,
        fingerprint,
        issued_at,
        revoked_at,
        revocation_reason,
        revocation_source,
        created_at,
        updated_at,
        issuer_id,
        issuer,
    ) = row
    stored, end = CertificateStatus(status), unpack_time(not_after)
    return CertificateSummary(
        id=certificate_id,
        kind=CertificateKind(kind),
        user_id=user_id,
        certificate_type=CertificateType(certificate_type) if certificate_type else None,
        status=stored,
        effective_status=effective_status(stored, end, now),
        issuer_id=issuer_id,
        issuer=issuer,
        serial_number=serial_number.hex(),
        subject=subject,
        not_before=unpack_time(not_before),
        not_after=end,
        key_type=key_type,
        key_size=key_size,
        key_origin=KeyOrigin(key_origin),
        user_principal_name=user_principal_name,
        email=email,
        fingerprint=fingerprint.hex() if fingerprint else None,
        issued_at=unpack_time_or_none(issued_at),
        revoked_at=unpack_time_or_none(revoked_at),
        revocation_reason=RevocationReason(revocation_reason) if revocation_reason else None,
        revocation_source=RevocationSource(revocation_source) if revocation_source else None,
        created_at=unpack_time(created_at),
        updated_at=unpack_time(updated_at),
    )
