"""Changes a tenant's directory through the control interface."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from local.control_client import TenantCalls
from local.entra.bulk import BulkLoad
from local.entra.tenant_snapshot import Snapshot


@dataclass(frozen=True)
class DirectoryObject:
    """A user, group, role or unit as it was made; later changes do not show here."""

    id: str
    properties: Mapping[str, Any]

    @property
    def user_principal_name(self) -> str:
        return str(self.properties["userPrincipalName"])

    @property
    def display_name(self) -> str:
        return str(self.properties["displayName"])

    def __str__(self) -> str:
        return self.id


Ref = DirectoryObject | str
"""A directory object or its id."""


class DirectoryControl(TenantCalls):
    """The part of a tenant's controls that people and groups are made and changed with."""

    def add_user(self, user_principal_name: str, *, id: str | None = None, **properties: Any) -> DirectoryObject:
        """Adds a user; properties by their Graph names, None leaves one out.

        Unless given: displayName from the UPN, mail the UPN, accountEnabled true, userType Member.
        """
        return self.add_users([new_user(user_principal_name, **properties)], ids=[id])[0]

    def add_users(
        self, users: Sequence[Mapping[str, Any]], ids: Sequence[str | None] | None = None
    ) -> list[DirectoryObject]:
        """Adds users given as complete property sets (see `new_user`), in one call."""
        return self._add("user", users, ids)

    def add_group(self, display_name: str, *, id: str | None = None, **properties: Any) -> DirectoryObject:
        """Adds a security group (`groupTypes=["Unified"]` makes it a Microsoft 365 group)."""
        defaults = {"displayName": display_name, "securityEnabled": True, "mailEnabled": False}
        return self._add("group", [defaults | properties], [id])[0]

    def add_directory_role(self, display_name: str) -> DirectoryObject:
        return self._add("directoryRole", [{"displayName": display_name}])[0]

    def add_administrative_unit(self, display_name: str) -> DirectoryObject:
        return self._add("administrativeUnit", [{"displayName": display_name}])[0]

    def update_user(self, user: Ref, **properties: Any) -> None:
        """Sets properties by their Graph names, e.g. `userPrincipalName` for a rename; None makes one absent."""
        self.update_many([(user, properties)])

    def update_many(self, updates: Iterable[tuple[Ref, Mapping[str, Any]]]) -> None:
        """Any number of updates, of users and groups, in one call."""
        self._call("objects.update", updates=[{"id": str(ref), "properties": dict(p)} for ref, p in updates])

    def update_group(self, group: Ref, **properties: Any) -> None:
        self.update_many([(group, properties)])

    def disable(self, user: Ref) -> None:
        self.update_user(user, accountEnabled=False)

    def enable(self, user: Ref) -> None:
        self.update_user(user, accountEnabled=True)

    def delete(self, user_or_group: Ref) -> None:
        """Moves it to the recycle bin: `@removed`, reason changed."""
        self._call("objects.delete", id=str(user_or_group))

    def restore(self, user_or_group: Ref) -> None:
        self._call("objects.restore", id=str(user_or_group))

    def purge(self, user_or_group: Ref) -> None:
        """Removes it for good: `@removed`, reason deleted."""
        self._call("objects.purge", id=str(user_or_group))

    delete_group = delete

    def add_member(self, group: Ref, *members: Ref) -> None:
        self._call("members.add", group=str(group), members=[str(member) for member in members])

    def remove_member(self, group: Ref, member: Ref) -> None:
        self._call("members.remove", group=str(group), member=str(member))

    def load(self, plan: BulkLoad) -> None:
        """Fills the directory inside the emulator: 100,000 users and 1,000 groups in seconds."""
        self._call("directory.bulk", **asdict(plan))

    def snapshot(self) -> Snapshot:
        """The directory as plain data."""
        return Snapshot.from_json(self._call("directory.snapshot"))

    def _add(
        self, kind: str, objects: Sequence[Mapping[str, Any]], ids: Sequence[str | None] | None = None
    ) -> list[DirectoryObject]:
        pairs = zip(objects, ids or [None] * len(objects), strict=True)
        sent = [{"properties": dict(properties), "id": object_id} for properties, object_id in pairs]
        added = self._call("objects.add", type=kind, objects=sent)
        return [DirectoryObject(object_id, dict(item)) for object_id, item in zip(added, objects, strict=True)]


def new_user(user_principal_name: str, **properties: Any) -> dict[str, Any]:
    """A user's properties with plausible defaults."""
    defaults = {
        "userPrincipalName": user_principal_name,
        "displayName": user_principal_name.partition("@")[0].replace(".", " ").title(),
        "mail": user_principal_name,
        "accountEnabled": True,
        "userType": "Member",
    }
    return defaults | properties
