"""What can be asked of the replica, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Literal, TypeVar

from shared.directory.records.certificate import (
    CertificateKind,
    CertificateStatus,
    CertificateType,
    KeyOrigin,
    RevocationReason,
    RevocationSource,
)
from shared.errors import FieldError

T = TypeVar("T")

MAX_SEARCH_LENGTH = 255
"""Characters of a search term: as many as the Laravel original's columns hold."""

UserSort = Literal["id", "name", "synced_at"]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: at most `per_page` of them; none on a page past the last.
        total: how many there are on all pages, exactly.
        page: from 1.
    """

    items: tuple[T, ...]
    total: int
    page: int
    per_page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserQuery:
    """Which of the users synchronized with Entra, and in which order. Filters combine with "and".

    Attributes:
        active: only the active, or only the inactive.
        synced_since: only users whose last sync is at or after this moment.
        search: a text that the name, the email or the UPN contains, as `text_folding` defines it.
        sort: by id; by name (folded, then id); by last sync, latest first.
    """

    active: bool | None = None
    synced_since: datetime | None = None
    search: str | None = None
    page: int = 1
    per_page: int = 15
    sort: UserSort = "id"

    def __post_init__(self) -> None:
        """Raises FieldError for a search text that is too long."""
        if self.search is not None and len(self.search) > MAX_SEARCH_LENGTH:
            raise FieldError("search", f"The search field must not be greater than {MAX_SEARCH_LENGTH} characters.")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSummary:
    """The replicated fields of `User`; `synced_at` is the user's effective last sync (see `Replica.users`)."""

    id: int
    object_id: str
    user_principal_name: str | None
    name: str
    email: str | None
    is_active: bool
    user_type: str | None
    synced_at: datetime | None
    deleted_at: datetime | None
    created_at: datetime
    updated_at: datetime


class EffectiveStatus(StrEnum):
    """The status of a certificate at a moment: an issued one becomes active, and expired after its last second."""

    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"
    HELD = "held"
    REVOKED = "revoked"


def effective_status(status: CertificateStatus, not_after: datetime, now: datetime) -> EffectiveStatus:
    """RFC 5280 4.1.2.5: `not_after` is the last moment in which the certificate is valid."""
    if status is not CertificateStatus.ISSUED:
        return EffectiveStatus(status.value)
    return EffectiveStatus.ACTIVE if now <= not_after else EffectiveStatus.EXPIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateQuery:
    """Which of the users' certificates (never the CA's own), by id. Filters combine with "and".

    Attributes:
        expiring_within: only active ones whose last valid second is within this time from now.
        serial_number: lower-case hex.
    """

    user_id: int | None = None
    status: EffectiveStatus | None = None
    certificate_type: CertificateType | None = None
    expiring_within: timedelta | None = None
    issuer_id: str | None = None
    serial_number: str | None = None
    page: int = 1
    per_page: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiringCertificates:
    """Which of the users' active certificates that end soon, by their end; without those that have a successor.

    Attributes:
        within: the last valid second is within this time from now.
    """

    within: timedelta
    user_id: int | None = None
    certificate_type: CertificateType | None = None
    page: int = 1
    per_page: int = 15


@dataclass(frozen=True, slots=True)
class DueNotice:
    """A certificate, and how many days before its end the notice is for."""

    certificate_id: int
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSummary:
    """The replicated fields of `Certificate`, and its status at the moment of reading."""

    id: int
    kind: CertificateKind
    user_id: int | None
    certificate_type: CertificateType | None
    status: CertificateStatus
    effective_status: EffectiveStatus
    issuer_id: str
    issuer: str
    serial_number: str
    subject: str
    not_before: datetime
    not_after: datetime
    key_type: str
    key_size: int
    key_origin: KeyOrigin
    user_principal_name: str | None
    email: str | None
    fingerprint: str | None
    issued_at: datetime | None
    revoked_at: datetime | None
    revocation_reason: RevocationReason | None
    revocation_source: RevocationSource | None
    created_at: datetime
    updated_at: datetime
    renews: int | None = None
    renewed_by: int | None = None
    notice_days: int | None = None
    noticed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedCertificate:
    """One entry of a CRL to be: revoked or on hold."""

    serial_number: str
    revoked_at: datetime
    reason: RevocationReason
    not_after: datetime
    certificate_type: CertificateType | None


@dataclass(frozen=True, slots=True)
class StoredStatus:
    """What a certificate's record says; `since` is when it was revoked or held."""

    status: CertificateStatus
    since: datetime
    reason: RevocationReason | None
    user_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStatistics:
    """Counts of the users synchronized with Entra. `active` + `inactive` = `total`; the deleted are inactive."""

    total: int
    active: int
    inactive: int
    deleted: int
    synced_last_24h: int
    guests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateStatistics:
    """Counts of the users' certificates. `active` + `revoked` + `expired` + `pending` = `total`.

    Attributes:
        revoked: those on hold included.
        expiring_30_days: of the active.
        by_type: all of them, whatever their status.
        revoked_by_reason: sums up to `revoked`; RFC 5280 names.
    """

    total: int
    active: int
    revoked: int
    expired: int
    pending: int
    expiring_30_days: int
    by_type: Mapping[str, int]
    revoked_by_reason: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    users: UserStatistics
    certificates: CertificateStatistics
