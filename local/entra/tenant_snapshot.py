"""A tenant's directory as its tests compare it: users, states, transitive groups."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

State = Literal["active", "disabled", "deleted"]


@dataclass(frozen=True)
class SnapshotUser:
    id: str
    state: State
    properties: Mapping[str, Any]
    groups: frozenset[str]
    """Ids of the groups the user is in, directly or through others; none when deleted."""

    @property
    def user_principal_name(self) -> str:
        return str(self.properties["userPrincipalName"])


@dataclass(frozen=True)
class SnapshotGroup:
    id: str
    display_name: str | None
    deleted: bool
    members: frozenset[str]
    """Ids of direct live members: users and groups."""


@dataclass(frozen=True)
class Snapshot:
    users: Mapping[str, SnapshotUser]
    groups: Mapping[str, SnapshotGroup]
    purged: frozenset[str]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        ids = [group["id"] for group in document["groups"]]
        users = {
            user["id"]: SnapshotUser(
                user["id"], user["state"], user["properties"], frozenset(ids[number] for number in user["groups"])
            )
            for user in document["users"]
        }
        groups = {
            group["id"]: SnapshotGroup(group["id"], group["displayName"], group["deleted"], frozenset(group["members"]))
            for group in document["groups"]
        }
        return cls(users, groups, frozenset(document["purged"]))
