"""The models of what replies carry. Each says how it is made from the record or result behind it."""

import base64
import dataclasses
import ssl
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from shared.api.pagination import paginated
from shared.directory.records.certificate import Certificate
from shared.directory.records.user import Group, User
from shared.directory.replica.queries import CertificateSummary, Page, Statistics, UserSummary, effective_status
from shared.errors import AppError
from shared.health import Finding, HealthReport

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.directory.reader import UserList, UserWithCertificates
    from shared.entra.claims import ValidToken
    from shared.entra.tenant_sync.report import SyncReport, SyncStatus
    from shared.entra.user_sync import SyncedUser, SyncResult
    from shared.pki.certificate_view import CertificateView
    from shared.pki.order import Issued


class Resource(BaseModel):
    model_config = ConfigDict(frozen=True)


class PageLink(Resource):
    url: str | None
    label: str
    active: bool


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
    def of(cls, certificate: Certificate | CertificateSummary, now: datetime) -> Self:
        return cls(**cls.members_of(certificate, now))

    @classmethod
    def members_of(cls, certificate: Certificate | CertificateSummary, now: datetime) -> dict[str, Any]:
        return {
            "id": certificate.id,
            "user_id": certificate.user_id,
            "certificate_type": certificate.certificate_type,
            "status": effective_status(certificate.status, certificate.not_after, now),
            "serial_number": certificate.serial_number,
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "issuer_id": certificate.issuer_id,
            "not_before": certificate.not_before,
            "not_after": certificate.not_after,
            "key_type": certificate.key_type,
            "key_size": certificate.key_size,
            "fingerprint_sha256": certificate.fingerprint,
            "revoked_at": certificate.revoked_at,
            "revocation_reason": certificate.revocation_reason,
        }


class CertificateResource(CertificateSummaryResource):
    """A certificate with its bytes."""

    pem: str | None = Field(description="null while pending")
    chain_pem: str
    entra_certificate_user_ids: Mapping[str, str]

    @classmethod
    def with_chain(cls, certificate: Certificate, chain_pem: str, user_ids: Mapping[str, str], now: datetime) -> Self:
        pem = ssl.DER_cert_to_PEM_cert(certificate.der) if certificate.der else None
        return cls(
            **cls.members_of(certificate, now), pem=pem, chain_pem=chain_pem, entra_certificate_user_ids=user_ids
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
    def of(cls, user: UserSummary, certificates: Iterable[CertificateSummary], now: datetime) -> Self:
        shown = [CertificateSummaryResource.of(certificate, now) for certificate in certificates]
        return cls(**cls.members_of(user), certificates=shown)


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
    def with_certificates(
        cls, user: User, groups: Iterable[Group], certificates: Iterable[CertificateSummary], now: datetime
    ) -> Self:
        own = set(UserAttributes.model_fields) - set(UserResource.model_fields) - {"certificates"}
        return cls(
            **cls.members_of(user),
            **{name: getattr(user, name) for name in own},
            entra_groups=GroupResource.all_of(user.group_ids, groups),
            certificates=[CertificateSummaryResource.of(each, now) for each in certificates],
        )


class UserDetail(Resource):
    user: UserAttributes

    @classmethod
    def of(cls, found: "UserWithCertificates", now: datetime) -> Self:
        return cls(user=UserAttributes.with_certificates(found.user, found.groups, found.certificates, now))


class Paginator(Resource):
    """Laravel's LengthAwarePaginator."""

    current_page: int
    first_page_url: str
    from_: int | None = Field(alias="from")
    last_page: int
    last_page_url: str
    links: list[PageLink]
    next_page_url: str | None
    path: str
    per_page: int
    prev_page_url: str | None
    to: int | None
    total: int


class UserPage(Paginator):
    data: list[ListedUser]


class RevokedCertificate(Resource):
    certificate: CertificateSummaryResource

    @classmethod
    def of(cls, certificate: Certificate, now: datetime) -> Self:
        return cls(certificate=CertificateSummaryResource.of(certificate, now))


class CertificatePage(Paginator):
    data: list[CertificateSummaryResource]


class CertificateDetail(Resource):
    certificate: CertificateResource

    @classmethod
    def of(cls, found: "CertificateView", now: datetime) -> Self:
        return cls(certificate=CertificateResource.with_chain(found.certificate, found.chain_pem, found.user_ids, now))


def listed_users(found: "UserList", url: str, now: datetime) -> dict[str, Any]:
    """A UserPage as JSON members; `url` is the request's."""
    items = [ListedUser.of(user, found.certificates.get(user.id, ()), now) for user in found.page.items]
    return paginated(items, total=found.page.total, page=found.page.page, per_page=found.page.per_page, url=url)


def listed_certificates(page: Page[CertificateSummary], url: str, now: datetime) -> dict[str, Any]:
    """A CertificatePage as JSON members."""
    items = [CertificateSummaryResource.of(certificate, now) for certificate in page.items]
    return paginated(items, total=page.total, page=page.page, per_page=page.per_page, url=url)


class SyncedUserResource(Resource):
    """`created`: whether this user was unknown here before."""

    created: bool
    user: UserResource

    @classmethod
    def of(cls, synced: "SyncedUser") -> Self:
        return cls(created=synced.created, user=UserResource.of(synced.user, synced.groups))


class SyncFailure(Resource):
    code: str
    message: str


class SyncResultResource(Resource):
    user_principal_name: str
    success: bool
    created: bool | None = None
    user: UserResource | None = None
    error: SyncFailure | None = None

    @classmethod
    def of(cls, result: "SyncResult") -> Self:
        outcome = result.outcome
        if isinstance(outcome, AppError):
            failure = SyncFailure(code=outcome.code, message=outcome.message)
            return cls(user_principal_name=result.user_principal_name, success=False, error=failure)
        synced = SyncedUserResource.of(outcome)
        return cls(
            user_principal_name=result.user_principal_name, success=True, created=synced.created, user=synced.user
        )


class ProvisionedCertificate(Resource):
    """The private key, where it was made here, is in this reply only."""

    certificate: CertificateResource
    user: UserSummaryResource
    private_key: str | None = Field(default=None, description="PKCS#8 PEM; encrypted if a password was given")
    pkcs12: str | None = Field(default=None, description="base64")
    pkcs12_password: str | None = Field(default=None, description="only where it was made here")
    private_key_available: bool
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, issued: "Issued", now: datetime) -> Self:
        return cls(
            certificate=CertificateResource.with_chain(issued.certificate, issued.chain_pem, issued.user_ids, now),
            user=UserSummaryResource(**UserSummaryResource.members_of(issued.user)),
            private_key=issued.private_key_pem,
            pkcs12=base64.b64encode(issued.pkcs12).decode() if issued.pkcs12 else None,
            pkcs12_password=issued.pkcs12_password,
            private_key_available=bool(issued.private_key_pem or issued.pkcs12),
            warnings=issued.warnings,
        )


class BulkSyncSummary(Resource):
    total: int
    successful: int
    failed: int


class BulkSyncReport(Resource):
    """One result for each name asked for, in the order of the request."""

    summary: BulkSyncSummary
    results: list[SyncResultResource]

    @classmethod
    def of(cls, results: "Sequence[SyncResult]") -> Self:
        resources = [SyncResultResource.of(result) for result in results]
        successful = sum(resource.success for resource in resources)
        summary = BulkSyncSummary(total=len(resources), successful=successful, failed=len(resources) - successful)
        return cls(summary=summary, results=resources)


class TokenPayload(Resource):
    """What a valid token says. Only `tid` and `oid` together identify somebody."""

    sub: str
    upn: str | None
    email: str | None
    name: str | None
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    exp: int
    iat: int
    oid: str
    tid: str
    aud: str
    iss: str
    app_id: str | None
    token_type: str = Field(description="user, app or id")
    groups_overage: bool


class TokenVerdict(Resource):
    valid: Literal[True] = True
    payload: TokenPayload

    @classmethod
    def of(cls, token: "ValidToken") -> Self:
        payload = TokenPayload(
            sub=token.subject,
            upn=token.user_principal_name,
            email=token.email,
            name=token.name,
            roles=token.roles,
            groups=token.groups,
            exp=token.expires_at,
            iat=token.issued_at,
            oid=token.object_id,
            tid=token.tenant_id,
            aud=token.audience,
            iss=token.issuer,
            app_id=token.client_id,
            token_type=token.token_type,
            groups_overage=token.groups_overage,
        )
        return cls(payload=payload)


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


class UserCounts(Resource):
    total: int
    active: int
    inactive: int
    deleted: int
    synced_last_24h: int
    guests: int


class CertificateCounts(Resource):
    total: int
    active: int
    revoked: int
    expired: int
    pending: int
    expiring_30_days: int
    by_type: Mapping[str, int]
    revoked_by_reason: Mapping[str, int]


class SyncRun(Resource):
    """One run of the tenant sync."""

    started_at: datetime
    finished_at: datetime
    outcome: str
    mode: str
    created: int
    updated: int
    deactivated: int
    unchanged: int
    failed: int
    error: str | None

    @classmethod
    def of(cls, run: "SyncReport") -> Self:
        return cls(
            started_at=run.started_at,
            finished_at=run.finished_at,
            outcome=run.outcome,
            mode=run.mode,
            **dataclasses.asdict(run.counts),
            error=run.error,
        )


class SyncCounts(Resource):
    last_run: SyncRun | None
    last_success_at: datetime | None
    in_progress: bool

    @classmethod
    def members_of(cls, status: "SyncStatus") -> dict[str, Any]:
        return {
            "last_run": SyncRun.of(status.last_run) if status.last_run else None,
            "last_success_at": status.last_success_at,
            "in_progress": status.in_progress,
        }


class SyncProgressResource(Resource):
    """The round under way, also between two runs."""

    mode: str
    phase: str
    started_at: datetime
    seen: int
    expected: int | None
    users_per_second: float | None
    remaining_seconds: float | None


class HeldRemovals(Resource):
    """Removals that wait for an operator's `manage.py sync --accept-removals`."""

    since: datetime
    removals: int
    limit: int
    reason: str


class SyncErrorResource(Resource):
    at: datetime
    code: str
    message: str
    entra_id: str | None


class SyncStatusResource(SyncCounts):
    progress: SyncProgressResource | None
    held: HeldRemovals | None
    errors: list[SyncErrorResource]
    broken_users: Mapping[str, str] = Field(description="why these users (object ids) cannot be copied")

    @classmethod
    def of(cls, status: "SyncStatus") -> Self:
        errors = [
            SyncErrorResource(at=error.at, code=error.code, message=error.message, entra_id=error.object_id)
            for error in status.errors
        ]
        return cls(
            **cls.members_of(status),
            progress=_progress(status),
            held=HeldRemovals(**dataclasses.asdict(status.held)) if status.held else None,
            errors=errors,
            broken_users=status.broken,
        )


class StartedSync(Resource):
    status_url: str


def _progress(status: "SyncStatus") -> SyncProgressResource | None:
    progress = status.progress
    if progress is None:
        return None
    return SyncProgressResource(
        mode=progress.mode,
        phase=progress.phase,
        started_at=progress.started_at,
        seen=progress.counts.seen,
        expected=progress.expected,
        users_per_second=progress.rate,
        remaining_seconds=progress.remaining.total_seconds() if progress.remaining is not None else None,
    )


class StatisticsResource(Resource):
    users: UserCounts
    certificates: CertificateCounts
    sync: SyncCounts
    generated_at: datetime

    @classmethod
    def of(cls, counts: Statistics, sync: "SyncStatus", now: datetime) -> Self:
        return cls(
            users=UserCounts(**dataclasses.asdict(counts.users)),
            certificates=CertificateCounts(**dataclasses.asdict(counts.certificates)),
            sync=SyncCounts(**SyncCounts.members_of(sync)),
            generated_at=now,
        )
