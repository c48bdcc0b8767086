"""The models of what replies carry. Each says how it is made from the record or result behind it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from shared.directory.records.user import Group, User
from shared.directory.replica.queries import CertificateSummary, UserSummary
from shared.health import Finding, HealthReport


class Resource(BaseModel):
    model_config = ConfigDict(frozen=True)


class GroupResource(Resource):
    id: str
    display_name: str | None

    @classmethod
    def all_of(cls, group_ids: Iterable[str], groups: Iterable[Group]) -> list[Self]:
        """Sorted by name; a group whose name is not known here keeps its id."""
        names = {group.object_id: group.display_name for group in groups}
        found = [cls(id=group_id, display_name=names.get(group_id)) for group_id in group_ids]
        return sorted(found, key=lambda group: (group.display_name or "", group.id))


class CertificateSummaryResource(Resource):
    """A certificate as lists show it."""

    id: int
    user_id: int | None
    type: Literal["entra_user"] = "entra_user"
    certificate_type: str | None
    status: str = Field(description="pending, active, expired, held or revoked, at the moment of the reply")
    serial_number: str
    subject: str
    issuer: str
    issuer_id: str
    not_before: datetime
    not_after: datetime
    key_type: str
    key_size: int
    fingerprint_sha256: str | None
    revoked_at: datetime | None
    revocation_reason: str | None

    @classmethod
    def of(cls, certificate: CertificateSummary) -> Self:
        return cls(
            id=certificate.id,
            user_id=certificate.user_id,
            certificate_type=certificate.certificate_type,
            status=certificate.effective_status,
            serial_number=certificate.serial_number,
            subject=certificate.subject,
            issuer=certificate.issuer,
            issuer_id=certificate.issuer_id,
            not_before=certificate.not_before,
            not_after=certificate.not_after,
            key_type=certificate.key_type,
            key_size=certificate.key_size,
            fingerprint_sha256=certificate.fingerprint,
            revoked_at=certificate.revoked_at,
            revocation_reason=certificate.revocation_reason,
        )


class UserSummaryResource(Resource):
    """A user as every reply shows it."""

    id: int
    name: str
    email: str | None
    entra_id: str | None = Field(description="Entra object id; null for a local user")
    entra_upn: str | None
    is_active: bool
    user_type: str | None
    entra_last_sync: datetime | None
    entra_deleted_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def members_of(cls, user: User | UserSummary) -> dict[str, Any]:
        return {
            "id": user.id,
            "name": user.name,
            "email": user.email,
            "entra_id": user.object_id,
            "entra_upn": user.user_principal_name,
            "is_active": user.is_active,
            "user_type": user.user_type,
            "entra_last_sync": user.synced_at,
            "entra_deleted_at": user.deleted_at,
            "created_at": user.created_at,
            "updated_at": user.updated_at,
        }


class UserResource(UserSummaryResource):
    """A user with the groups known at its last sync."""

    entra_groups: list[GroupResource]

    @classmethod
    def of(cls, user: User, groups: Iterable[Group]) -> Self:
        return cls(**cls.members_of(user), entra_groups=GroupResource.all_of(user.group_ids, groups))


class ListedUser(UserSummaryResource):
    """A user in a list, with its active certificates."""

    certificates: list[CertificateSummaryResource]

    @classmethod
    def of(cls, user: UserSummary, certificates: Iterable[CertificateSummary]) -> Self:
        return cls(**cls.members_of(user), certificates=[CertificateSummaryResource.of(each) for each in certificates])


class UserAttributes(UserResource):
    """All that is kept of a user, with all its certificates."""

    account_enabled: bool
    in_scope: bool
    deletion: str | None
    given_name: str | None
    surname: str | None
    mail: str | None
    other_mails: tuple[str, ...]
    proxy_addresses: tuple[str, ...]
    job_title: str | None
    department: str | None
    company_name: str | None
    employee_id: str | None
    on_premises_sync_enabled: bool | None
    on_premises_immutable_id: str | None
    on_premises_security_identifier: str | None
    on_premises_sam_account_name: str | None
    on_premises_domain_name: str | None
    on_premises_user_principal_name: str | None
    external_user_state: str | None
    entra_created_at: datetime | None
    certificates: list[CertificateSummaryResource]

    @classmethod
    def with_certificates(cls, user: User, groups: Iterable[Group], certificates: Iterable[CertificateSummary]) -> Self:
        own = set(UserAttributes.model_fields) - set(UserResource.model_fields) - {"certificates"}
        return cls(
            **cls.members_of(user),
            **{name: getattr(user, name) for name in own},
            entra_groups=GroupResource.all_of(user.group_ids, groups),
            certificates=[CertificateSummaryResource.of(each) for each in certificates],
        )


class UserDetail(Resource):
    user: UserAttributes


class FindingResource(Resource):
    status: str
    reason: str | None = None
    latency_ms: float | None = None

    @classmethod
    def of(cls, finding: Finding, *, with_reasons: bool) -> Self:
        if not with_reasons:
            return cls(status=finding.status)
        return cls(
            status=finding.status,
            reason=finding.reason,
            latency_ms=round(finding.latency.total_seconds() * 1000, 1),
        )


class HealthResource(Resource):
    """Without credentials only each part's status; with them reasons and latencies too."""

    status: str
    checks: Mapping[str, FindingResource]
    checked_at: datetime

    @classmethod
    def of(cls, report: HealthReport, *, with_reasons: bool) -> Self:
        checks = {
            name: FindingResource.of(finding, with_reasons=with_reasons) for name, finding in report.checks.items()
        }
        return cls(status=report.status, checks=checks, checked_at=report.checked_at)
