"""Users and the groups they are in, as copied from Entra ID or kept locally."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from shared.directory.records.base import Record, packed_guids

LOCAL_USERS = "local_user"
"""The sequence that counts the users who are not from Entra, beside the sequence of all users' ids."""


class EntraDeletion(StrEnum):
    SOFT = "soft"
    """In the tenant's recycle bin: can be restored for 30 days."""
    HARD = "hard"
    """Gone for good."""


@dataclass(frozen=True, kw_only=True)
class User(Record):
    """A person known to the CA. Identity is `id` here and `object_id` in Entra; names and addresses may change.

    A user without an `object_id` is local: not synchronized with Entra, and never issued to.
    """

    KIND: ClassVar[str] = "user"
    SEQUENCE: ClassVar[str | None] = "user"
    REPLICATED: ClassVar[tuple[str, ...]] = (
        "id",
        "object_id",
        "user_principal_name",
        "name",
        "email",
        "is_active",
        "user_type",
        "synced_at",
        "deleted_at",
        "created_at",
        "updated_at",
    )

    id: int
    object_id: str | None = None
    """Entra's object id, a lower-case GUID."""
    user_principal_name: str | None = None
    name: str
    """displayName, else given name + surname, else UPN."""
    email: str | None = None
    """mail, else the primary SMTP proxy address, else the UPN if it is an address. Never an identity."""
    is_active: bool
    """account_enabled, not deleted, and in the scope of the sync."""
    account_enabled: bool = True
    in_scope: bool = True
    deletion: EntraDeletion | None = None
    deleted_at: datetime | None = None
    """When this app learned of the deletion in Entra."""
    purged_at: datetime | None = None
    """When the personal data were erased on request."""
    revocation_pending: bool = False
    """The user's certificates are to be treated as revoked although not each record says so yet."""

    given_name: str | None = None
    surname: str | None = None
    mail: str | None = None
    other_mails: tuple[str, ...] = ()
    proxy_addresses: tuple[str, ...] = ()
    user_type: str | None = None
    """`Member` or `Guest`."""
    job_title: str | None = None
    department: str | None = None
    company_name: str | None = None
    employee_id: str | None = None
    on_premises_sync_enabled: bool | None = None
    on_premises_immutable_id: str | None = None
    on_premises_security_identifier: str | None = None
    on_premises_sam_account_name: str | None = None
    on_premises_domain_name: str | None = None
    on_premises_user_principal_name: str | None = None
    external_user_state: str | None = None
    entra_created_at: datetime | None = None
    group_ids: tuple[str, ...] = packed_guids(default=())
    """Transitive group memberships: object ids, sorted."""

    synced_at: datetime | None = None
    """When this row was last compared with Entra by a call for this user, or changed by a sync."""
    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> str:
        return user_key(self.id)

    @property
    def is_synchronized(self) -> bool:
        return self.object_id is not None


@dataclass(frozen=True, kw_only=True)
class ObjectIdLink(Record):
    """The uniqueness of Entra object ids: `oid|<object id>` → local user id. Written once, never changed."""

    KIND: ClassVar[str] = "oid"

    object_id: str
    user_id: int

    @property
    def key(self) -> str:
        return object_id_key(self.object_id)


@dataclass(frozen=True, kw_only=True)
class Group(Record):
    """The display name of an Entra group; users hold only group ids."""

    KIND: ClassVar[str] = "group"
    REPLICATED: ClassVar[tuple[str, ...]] = ("object_id", "display_name")

    object_id: str
    display_name: str

    @property
    def key(self) -> str:
        return group_key(self.object_id)


def user_key(user_id: int) -> str:
    return f"user|{user_id:010d}"


def object_id_key(object_id: str) -> str:
    return f"oid|{object_id.lower()}"


def group_key(object_id: str) -> str:
    return f"group|{object_id.lower()}"
