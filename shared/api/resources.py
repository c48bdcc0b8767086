"""The models of what replies carry: users, groups, certificates, results. One constructor per source record."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from shared.directory.records.user import Group, User


class Resource(BaseModel):
    model_config = ConfigDict(frozen=True)


class GroupResource(Resource):
    id: str
    display_name: str | None


class UserResource(Resource):
    """A user with the groups known at its last sync."""

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
    entra_groups: list[GroupResource]

    @classmethod
    def of(cls, user: User, groups: Iterable[Group], covered_at: datetime | None = None) -> Self:
        return cls(**_common(user, covered_at), entra_groups=group_resources(user, groups))


def group_resources(user: User, groups: Iterable[Group]) -> list[GroupResource]:
    """Each of the user's groups by name; a group whose name is not known yet keeps its id."""
    names = {group.object_id: group.display_name for group in groups}
    resources = [GroupResource(id=group_id, display_name=names.get(group_id)) for group_id in user.group_ids]
    return sorted(resources, key=lambda group: (group.display_name or "", group.id))


def _common(user: User, covered_at: datetime | None) -> dict[str, Any]:
    synced = [moment for moment in (user.synced_at, covered_at if user.is_synchronized else None) if moment]
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "entra_id": user.object_id,
        "entra_upn": user.user_principal_name,
        "is_active": user.is_active,
        "user_type": user.user_type,
        "entra_last_sync": max(synced, default=None),
        "entra_deleted_at": user.deleted_at,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }
