"""What the replica has to answer, computed the plain way: by looking at every record."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.directory.records.base import Record
from shared.directory.records.certificate import Certificate, CertificateKind, CertificateStatus, RevocationReason
from shared.directory.records.user import User
from shared.directory.replica.queries import CertificateQuery, EffectiveStatus, UserQuery, effective_status
from shared.directory.replica.text_folding import fold


@dataclass(frozen=True)
class Expected:
    """A page, as ids."""

    ids: list[int]
    total: int


@dataclass(frozen=True)
class DirectoryModel:
    records: Mapping[str, Record]

    @property
    def _users(self) -> list[User]:
        users = [record for record in self.records.values() if isinstance(record, User) and record.object_id]
        return sorted(users, key=lambda user: user.id)

    @property
    def _certificates(self) -> list[Certificate]:
        found = [record for record in self.records.values() if isinstance(record, Certificate)]
        return sorted(found, key=lambda certificate: certificate.id)

    def users(self, query: UserQuery, round_started_at: datetime | None = None) -> Expected:
        users = [user for user in self._users if _matches(user, query, round_started_at)]
        if query.sort == "name":
            users.sort(key=lambda user: (fold(user.name), user.id))
        if query.sort == "synced_at":
            users.sort(key=lambda user: (user.synced_at.timestamp() if user.synced_at else 0.0, user.id), reverse=True)
        return _page([user.id for user in users], query.page, query.per_page)

    def certificates(self, query: CertificateQuery, now: datetime) -> Expected:
        ids = [certificate.id for certificate in self._of_users() if _fits(certificate, query, now)]
        return _page(ids, query.page, query.per_page)

    def active_certificates(self, user_ids: list[int], now: datetime) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for certificate in self._of_users():
            if certificate.user_id in user_ids and _status(certificate, now) is EffectiveStatus.ACTIVE:
                found.setdefault(certificate.user_id, []).append(certificate.id)
        return found

    def revoked(self, issuer_id: str) -> list[tuple[str, RevocationReason]]:
        gone = (CertificateStatus.HELD, CertificateStatus.REVOKED)
        return sorted(
            (certificate.serial_number, _reason(certificate))
            for certificate in self._certificates
            if certificate.issuer_id == issuer_id and certificate.status in gone
        )

    def user_statistics(self, now: datetime, round_started_at: datetime | None = None) -> dict[str, int]:
        users, day_ago = self._users, now - timedelta(hours=24)
        return {
            "total": len(users),
            "active": sum(user.is_active for user in users),
            "inactive": sum(not user.is_active for user in users),
            "deleted": sum(user.deleted_at is not None for user in users),
            "synced_last_24h": sum(_synced_since(user, day_ago, round_started_at) for user in users),
            "guests": sum(user.user_type == "Guest" for user in users),
        }

    def certificate_statistics(self, now: datetime) -> dict[str, Any]:
        certificates = self._of_users()
        status = Counter(_status(certificate, now) for certificate in certificates)
        gone = [
            certificate
            for certificate in certificates
            if _status(certificate, now) in (EffectiveStatus.HELD, EffectiveStatus.REVOKED)
        ]
        return {
            "total": len(certificates),
            "active": status[EffectiveStatus.ACTIVE],
            "revoked": len(gone),
            "expired": status[EffectiveStatus.EXPIRED],
            "pending": status[EffectiveStatus.PENDING],
            "expiring_30_days": sum(
                _status(certificate, now) is EffectiveStatus.ACTIVE
                and certificate.not_after <= now + timedelta(days=30)
                for certificate in certificates
            ),
            "by_type": dict(Counter(str(certificate.certificate_type) for certificate in certificates)),
            "revoked_by_reason": dict(Counter(str(_reason(certificate)) for certificate in gone)),
        }

    def _of_users(self) -> list[Certificate]:
        return [c for c in self._certificates if c.kind is CertificateKind.ENTRA_USER]


def _matches(user: User, query: UserQuery, round_started_at: datetime | None) -> bool:
    fields = (user.name, user.user_principal_name, user.email)
    return (
        query.active in (None, user.is_active)
        and (query.synced_since is None or _synced_since(user, query.synced_since, round_started_at))
        and (not query.search or any(fold(query.search) in fold(field) for field in fields if field is not None))
    )


def _synced_since(user: User, moment: datetime, round_started_at: datetime | None) -> bool:
    return any(synced >= moment for synced in (user.synced_at, round_started_at) if synced)


def _fits(certificate: Certificate, query: CertificateQuery, now: datetime) -> bool:
    status = _status(certificate, now)
    within = query.expiring_within
    return (
        query.user_id in (None, certificate.user_id)
        and query.status in (None, status)
        and query.certificate_type in (None, certificate.certificate_type)
        and query.issuer_id in (None, certificate.issuer_id)
        and query.serial_number in (None, certificate.serial_number)
        and (within is None or (status is EffectiveStatus.ACTIVE and certificate.not_after <= now + within))
    )


def _reason(certificate: Certificate) -> RevocationReason:
    if certificate.status is CertificateStatus.HELD:
        return RevocationReason.CERTIFICATE_HOLD
    return certificate.revocation_reason or RevocationReason.UNSPECIFIED


def _status(certificate: Certificate, now: datetime) -> EffectiveStatus:
    return effective_status(certificate.status, certificate.not_after, now)


def _page(ids: list[int], page: int, per_page: int) -> Expected:
    return Expected(ids[(page - 1) * per_page : page * per_page], len(ids))
