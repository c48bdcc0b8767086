"""Users, as lists and single views show them."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from shared.api.resources.base import Resource
from shared.api.resources.certificates import CertificateSummaryResource
from shared.api.resources.pages import Paginator
from shared.directory.records.user import EntraDeletion, Group, User
from shared.directory.replica.queries import CertificateSummary, UserSummary

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.directory.reader import UserList, UserWithCertificates


class GroupResource(Resource):
    id: str = Field(description="Entra object id")
    display_name: str | None = Field(examples=["All staff"])

    @classmethod
    def all_of(cls, group_ids: Iterable[str], groups: Iterable[Group]) -> list[Self]:
        """Sorted by name; a group whose name is not known here keeps its id."""
        names = {group.object_id: group.display_name for group in groups}
        found = [cls(id=group_id, display_name=names.get(group_id)) for group_id in group_ids]
        return sorted(found, key=lambda group: (group.display_name or "", group.id))


class UserSummaryResource(Resource):
    """A user as every reply shows it."""

    id: int = Field(description="local id", examples=[1])
    name: str = Field(examples=["Ada Lovelace"])
    email: str | None = Field(examples=["ada@contoso.example"])
    entra_id: str | None = Field(description="Entra object id; null for a local user")
    entra_upn: str | None = Field(description="user principal name", examples=["ada@contoso.example"])
    is_active: bool = Field(description="enabled in Entra ID, not deleted, and in the sync's scope")
    user_type: str | None = Field(description="as in Entra ID", examples=["Member", "Guest"])
    entra_last_sync: datetime | None = Field(description="when it was last known to be as in Entra ID")
    entra_deleted_at: datetime | None = Field(examples=[None])
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
    in_scope: bool = Field(description="a member of the groups that the sync is limited to")
    deletion: EntraDeletion | None = Field(
        description="soft: in Entra's recycle bin; hard: gone for good", examples=[None]
    )
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


class UserPage(Paginator):
    data: list[ListedUser]

    @classmethod
    def of(cls, found: "UserList", url: str, now: datetime) -> Self:
        """`url` is the request's."""
        items = [ListedUser.of(user, found.certificates.get(user.id, ()), now) for user in found.page.items]
        return cls.with_items(items, found.page, url)
