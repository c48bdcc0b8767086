"""One tenant's directory: users, groups, directory roles and administrative units, who is a member of what, and the
sequence of changes that delta queries are answered from.

Kept small and quick on purpose: properties never set are not stored, and a change costs one list entry, so a tenant
of 100,000 users loads in seconds.
"""

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from local.entra.properties import TYPES, USER, EntityType

RECYCLE_BIN = timedelta(days=30)  # https://learn.microsoft.com/entra/fundamentals/users-restore
CONTAINERS = frozenset(TYPES) - {"user"}


class DirectoryError(ValueError):
    """A change that a directory does not allow, e.g. a UPN that another user has."""


@dataclass(slots=True)
class Entry:
    """A directory object. `changes` maps each property to the sequence number of its last change, for `$select`ed
    delta queries; it is kept only for properties changed after the object was made."""

    id: str
    type: EntityType
    properties: dict[str, Any]
    created: int
    changed: int
    deleted: datetime | None = None
    restored: int = -1
    changes: dict[str, int] | None = None

    def value(self, name: str) -> Any:
        if name == "id":
            return self.id
        if name == "deletedDateTime":
            return timestamp(self.deleted) if self.deleted else None
        return self.properties.get(name, self.type.absent(name))

    def has(self, name: str) -> bool:
        return name == "id" or name in self.properties


class Directory:
    """Not copied on reading: callers hold `lock` while they look at entries that others may change."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.restore_reports_members = True
        """Whether groups report the members that a restore gives back; Microsoft does not say, so tests try both."""
        self.entries: dict[str, Entry] = {}
        self.order: dict[str, list[str]] = {name: [] for name in TYPES}
        self.log: list[str] = []
        self.previous: list[int] = []
        """For each change, the one before it of the same object, or -1."""
        self.members: dict[str, dict[str, int]] = {}
        """By group: its members, each with the position of its latest addition in the group's `member_log`."""
        self.member_log: dict[str, list[tuple[int, str, bool]]] = {}
        """By group: sequence number, member, added (or removed)."""
        self.purged: dict[str, EntityType] = {}
        self._parents: dict[str, list[str]] = {}
        self._recycled: set[str] = set()
        self._upns: dict[str, str] = {}

    # Reading

    @property
    def now(self) -> int:
        """The sequence number that the next change will get."""
        return len(self.log)

    def live(self, object_id: str) -> Entry | None:
        entry = self.entries.get(object_id)
        return entry if entry is not None and entry.deleted is None else None

    def user(self, id_or_upn: str) -> Entry | None:
        """A live user by object id or by UPN, both without regard to case."""
        folded = id_or_upn.casefold()
        entry = self.live(self._upns.get(folded, folded))
        return entry if entry is not None and entry.type is USER else None

    def all(self, type_name: str) -> Iterator[Entry]:
        for object_id in self.order[type_name]:
            entry = self.live(object_id)
            if entry is not None:
                yield entry

    def recycled(self) -> list[Entry]:
        """What is in the recycle bin."""
        return [self.entries[object_id] for object_id in sorted(self._recycled)]

    def live_members(self, group_id: str) -> list[Entry]:
        return [entry for member in self.members.get(group_id, ()) if (entry := self.live(member)) is not None]

    def transitive_members(self, group_id: str) -> list[Entry]:
        return self._reachable(group_id, self.live_members)

    def transitive_containers(self, object_id: str) -> list[Entry]:
        """Everything the object is in, directly or through live groups."""
        return self._reachable(object_id, self.containers)

    def containers(self, object_id: str) -> list[Entry]:
        """What the object is in directly."""
        return [entry for parent in self._parents.get(object_id, ()) if (entry := self.live(parent)) is not None]

    def _reachable(self, start: str, step: Callable[[str], list[Entry]]) -> list[Entry]:
        found: dict[str, Entry] = {}
        queue = [start]
        while queue:
            for entry in step(queue.pop()):
                if entry.id not in found and entry.id != start:
                    found[entry.id] = entry
                    queue.append(entry.id)
        return list(found.values())

    # Changing

    def add(self, type_name: str, properties: dict[str, Any], object_id: str | None = None) -> Entry:
        """Adds an object; a user's UPN must be free. Raises DirectoryError."""
        with self.lock:
            object_id = (object_id or str(uuid.uuid4())).lower()
            if object_id in self.entries:
                raise DirectoryError(f"the object id {object_id} is taken")
            if type_name == "user":
                self._claim_upn(properties["userPrincipalName"], object_id)
            entry = Entry(object_id, TYPES[type_name], properties, self.now, self.now)
            self.entries[object_id] = entry
            self.order[type_name].append(object_id)
            self.purged.pop(object_id, None)
            if type_name in CONTAINERS:
                self.members[object_id] = {}
                self.member_log[object_id] = []
            self._record(object_id, -1)
            return entry

    def update(self, object_id: str, changes: dict[str, Any]) -> None:
        """Sets properties; None makes one absent again."""
        with self.lock:
            entry = self._existing(object_id)
            upn = changes.get("userPrincipalName", entry.properties.get("userPrincipalName"))
            if entry.type is USER:
                if upn is None:
                    raise DirectoryError("a user cannot be without a user principal name")
                if entry.deleted is None:
                    self._claim_upn(upn, entry.id)
                self._release_upn(entry, upn)
            seen = entry.changes = entry.changes or {}
            for name, value in changes.items():
                if value is None:
                    entry.properties.pop(name, None)
                else:
                    entry.properties[name] = value
                seen[name] = self.now
            self._touch(entry)

    def delete(self, object_id: str) -> None:
        """Moves a live object to the recycle bin; its memberships are kept for a restore."""
        with self.lock:
            entry = self._existing(object_id)
            if entry.deleted is not None:
                raise DirectoryError(f"{object_id} is deleted already")
            entry.deleted = self.clock()
            self._recycled.add(object_id)
            if entry.type is USER:
                self._release_upn(entry)
            self._touch(entry)

    def restore(self, object_id: str) -> None:
        with self.lock:
            entry = self._existing(object_id)
            if entry.deleted is None:
                raise DirectoryError(f"{object_id} is not deleted")
            if entry.type is USER:
                self._claim_upn(entry.properties["userPrincipalName"], entry.id)
            entry.deleted, entry.restored = None, self.now
            self._recycled.discard(object_id)
            self._touch(entry)
            for parent in self._parents.get(object_id, ()) if self.restore_reports_members else ():
                self._log_member(parent, object_id, added=True)
                self._touch(self.entries[parent])

    def purge(self, object_id: str) -> None:
        """Removes an object for good. As in Entra, its groups do not report the loss."""
        with self.lock:
            entry = self._existing(object_id)
            if entry.type is USER and entry.deleted is None:
                self._release_upn(entry)
            self._touch(entry)
            del self.entries[object_id]
            self._recycled.discard(object_id)
            self.purged[object_id] = entry.type
            for parent in self._parents.pop(object_id, ()):
                self.members[parent].pop(object_id, None)
            for member in self.members.pop(object_id, ()):
                self._parents[member].remove(object_id)
            self.member_log.pop(object_id, None)

    def empty_recycle_bin(self) -> None:
        """Purges what has been deleted for 30 days."""
        with self.lock:
            limit = self.clock() - RECYCLE_BIN
            for entry in self.recycled():
                if entry.deleted is not None and entry.deleted < limit:
                    self.purge(entry.id)

    def add_members(self, group_id: str, members: Iterable[str]) -> None:
        """Adds members; those already in are left alone. Raises DirectoryError for unknown ones."""
        with self.lock:
            group = self._existing(group_id)
            edges = self.members[group_id]
            for member in members:
                self._existing(member)
                if member not in edges:
                    self._parents.setdefault(member, []).append(group_id)
                    self._log_member(group_id, member, added=True)
            self._touch(group)

    def remove_member(self, group_id: str, member: str) -> None:
        with self.lock:
            group = self._existing(group_id)
            if self.members[group_id].pop(member, None) is None:
                raise DirectoryError(f"{member} is not a member of {group_id}")
            self._parents[member].remove(group_id)
            self._log_member(group_id, member, added=False)
            self._touch(group)

    def _existing(self, object_id: str) -> Entry:
        try:
            return self.entries[object_id]
        except KeyError:
            raise DirectoryError(f"there is no object {object_id}") from None

    def _log_member(self, group_id: str, member: str, *, added: bool) -> None:
        log = self.member_log[group_id]
        if added:
            self.members[group_id][member] = len(log)
        log.append((self.now, member, added))

    def _touch(self, entry: Entry) -> None:
        previous, entry.changed = entry.changed, self.now
        self._record(entry.id, previous)

    def _record(self, object_id: str, previous: int) -> None:
        self.log.append(object_id)
        self.previous.append(previous)

    def _claim_upn(self, upn: str, object_id: str) -> None:
        holder = self._upns.setdefault(upn.casefold(), object_id)
        if holder != object_id:
            raise DirectoryError(f"the user principal name {upn} belongs to {holder}")

    def _release_upn(self, entry: Entry, unless: str | None = None) -> None:
        folded = entry.properties["userPrincipalName"].casefold()
        if self._upns.get(folded) == entry.id and (unless is None or folded != unless.casefold()):
            del self._upns[folded]


def timestamp(moment: datetime) -> str:
    """Graph's form of a time: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
