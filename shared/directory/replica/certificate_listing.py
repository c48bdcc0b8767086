"""Pages of certificates, the active ones of given users, and what belongs into a CRL."""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from shared.directory.replica.certificate_counts import BEGINNING, END, EVERY_SORT, OF_USERS, Sort
from shared.directory.replica.queries import (
    CertificateQuery,
    CertificateSummary,
    EffectiveStatus,
    Page,
    RevokedCertificate,
    StoredStatus,
    effective_status,
)
from shared.directory.replica.schema import REASON
from shared.directory.replica.values import pack_hex, pack_time, unpack_time, unpack_time_or_none
from shared.directory.replica.windows import Window

_COLUMNS = "certificates.*, issuers.issuer_id, issuers.issuer"
_ISSUERS = "CROSS JOIN issuers ON issuers.number = certificates.issuer_number"

FEW = 0.03
"""The share of certificates up to which they are picked from an index and sorted, rather than met by walking."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stored status (None: any), and when the certificates end: first … last, microseconds, both included."""

    status: CertificateStatus | None
    first: int = BEGINNING
    last: int = END

    @classmethod
    def of(cls, query: CertificateQuery, now: datetime) -> "Span | None":
        """None where the query contradicts itself."""
        moment, issued = pack_time(now), CertificateStatus.ISSUED
        if query.expiring_within is not None:
            soon = pack_time(now + query.expiring_within)
            return cls(issued, moment, soon) if query.status in (None, EffectiveStatus.ACTIVE) else None
        match query.status:
            case None:
                return cls(None)
            case EffectiveStatus.ACTIVE:
                return cls(issued, first=moment)
            case EffectiveStatus.EXPIRED:
                return cls(issued, last=moment - 1)
            case other:
                return cls(CertificateStatus(other.value))

    @property
    def condition(self) -> str:
        if self.status is None:
            return "TRUE"
        ends = f" AND not_after BETWEEN {self.first} AND {self.last}" if self.status is CertificateStatus.ISSUED else ""
        return f"status = '{self.status.value}'{ends}"

    def count(self, connection: sqlite3.Connection, sort: Sort) -> int:
        if self.status is None:
            return sort.count(connection)
        if self.status is CertificateStatus.ISSUED:
            return sort.count_issued(connection, self.first, self.last)
        return sort.count_with(connection, self.status)


def certificate_page(
    connection: sqlite3.Connection, query: CertificateQuery, now: datetime
) -> Page[CertificateSummary]:
    span, sort = Span.of(query, now), _sort(query)
    total, ids = 0, list[int]()
    if span is not None and (query.user_id is not None or query.serial_number is not None):
        total, ids = _found_one_by_one(connection, query, span, sort)
    elif span is not None:
        total = span.count(connection, sort)
        few = total < FEW * EVERY_SORT.count(connection)
        source = f"certificates {'INDEXED BY certificates_by_end' if few else 'NOT INDEXED'}"
        select = f"SELECT id FROM {source} WHERE {OF_USERS} AND {span.condition} AND {sort.condition}"
        window = Window.of(query.page, query.per_page, total)
        ids = window.ids(connection, select, sort.values, "+id" if few else "id")
    return Page(items=summaries(connection, ids, now), total=total, page=query.page, per_page=query.per_page)


def active_certificates(
    connection: sqlite3.Connection, user_ids: Sequence[int], now: datetime
) -> Mapping[int, tuple[CertificateSummary, ...]]:
    """The active certificates of each of the users, by id; users without one are left out."""
    found: dict[int, list[CertificateSummary]] = defaultdict(list)
    marks = ", ".join("?" * len(user_ids))
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM certificates INDEXED BY certificates_by_user {_ISSUERS}"
        f" WHERE user_id IN ({marks}) AND {OF_USERS} AND status = 'issued' AND not_after >= ?"
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
        f"SELECT serial_number, coalesce(revoked_at, updated_at), {REASON}, not_after, certificate_type"
        " FROM certificates WHERE issuer_number IN (SELECT number FROM issuers WHERE issuer_id = ?)"
        " AND status IN ('held', 'revoked') ORDER BY serial_number",
        (issuer_id,),
    )
    for serial_number, revoked_at, reason, not_after, certificate_type in rows:
        yield RevokedCertificate(
            serial_number=serial_number.hex(),
            revoked_at=unpack_time(revoked_at),
            reason=RevocationReason(reason),
            not_after=unpack_time(not_after),
            certificate_type=CertificateType(certificate_type) if certificate_type else None,
        )


def stored_statuses(
    connection: sqlite3.Connection, issuer_id: str, serial_numbers: Sequence[str]
) -> list[StoredStatus | None]:
    """Of each serial number (lower-case hex) of an issuer, whomever it is for; None where there is none."""
    found: list[StoredStatus | None] = []
    for serial_number in serial_numbers:
        row = connection.execute(
            "SELECT status, coalesce(revoked_at, updated_at), revocation_reason, user_id FROM certificates"
            " JOIN issuers ON number = issuer_number WHERE serial_number = ? AND issuer_id = ?",
            (pack_hex(serial_number), issuer_id),
        ).fetchone()
        if row is None:
            found.append(None)
            continue
        status, since, reason, user_id = row
        known = RevocationReason(reason) if reason else None
        found.append(StoredStatus(CertificateStatus(status), unpack_time(since), known, user_id))
    return found


def _found_one_by_one(
    connection: sqlite3.Connection, query: CertificateQuery, span: Span, sort: Sort
) -> tuple[int, list[int]]:
    """The certificates of one user or of one serial number: few, so they are looked at each."""
    conditions, values = [OF_USERS, span.condition, sort.condition], dict(sort.values)
    if query.user_id is not None:
        conditions.append("user_id = :user_id")
        values["user_id"] = query.user_id
    if query.serial_number is not None:
        conditions.append("serial_number = :serial_number")
        values["serial_number"] = _serial_or_none(query.serial_number)
    rows = connection.execute(f"SELECT id FROM certificates WHERE {' AND '.join(conditions)} ORDER BY +id", values)
    ids = [row[0] for row in rows]
    first = (query.page - 1) * query.per_page
    return len(ids), ids[first : first + query.per_page]


def _sort(query: CertificateQuery) -> Sort:
    conditions, values = ["TRUE"], dict[str, Any]()
    if query.certificate_type is not None:
        conditions.append("certificate_type = :certificate_type")
        values["certificate_type"] = query.certificate_type.value
    if query.issuer_id is not None:
        conditions.append("issuer_number IN (SELECT number FROM issuers WHERE issuer_id = :issuer_id)")
        values["issuer_id"] = query.issuer_id
    return Sort(" AND ".join(conditions), values)


def _serial_or_none(text: str) -> bytes | None:
    """None, which equals nothing, for what is no serial number."""
    try:
        return pack_hex(text)
    except ValueError:
        return None


def summaries(connection: sqlite3.Connection, ids: Sequence[int], now: datetime) -> tuple[CertificateSummary, ...]:
    """The certificates of these ids, in ascending order."""
    marks = ", ".join("?" * len(ids))
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM certificates {_ISSUERS} WHERE certificates.id IN ({marks}) ORDER BY certificates.id",
        ids,
    )
    return tuple(_summary(row, now) for row in rows)


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
        renews,
        renewed_by,
        notice_days,
        noticed_at,
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
        renews=renews,
        renewed_by=renewed_by,
        notice_days=notice_days,
        noticed_at=unpack_time_or_none(noticed_at),
    )
