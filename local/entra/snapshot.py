"""The whole directory as plain data: what a sync must arrive at."""

from typing import Any

from local.entra.directory import Directory, Entry


def snapshot(directory: Directory) -> dict[str, Any]:
    """Users with their state and transitive groups, and groups with their direct live members.

    A user's groups are Entra groups only, no directory roles or administrative units; a deleted user is in none.
    They are given as positions in the list of groups, which keeps a large directory's snapshot small.
    """
    with directory.lock:
        found = [entry for entry in directory.entries.values() if entry.type.name == "group"]
        numbers = {entry.id: number for number, entry in enumerate(found)}
        closures: dict[str, frozenset[int]] = {}
        users = [_user(directory, e, closures, numbers) for e in directory.entries.values() if e.type.name == "user"]
        groups = [
            {
                "id": entry.id,
                "displayName": entry.properties.get("displayName"),
                "deleted": entry.deleted is not None,
                "members": [member.id for member in directory.live_members(entry.id)],
            }
            for entry in found
        ]
        return {"users": users, "groups": groups, "purged": sorted(directory.purged)}


def _user(
    directory: Directory, entry: Entry, closures: dict[str, frozenset[int]], numbers: dict[str, int]
) -> dict[str, Any]:
    if entry.deleted is not None:
        state = "deleted"
    else:
        state = "active" if entry.properties.get("accountEnabled", True) else "disabled"
    groups: set[int] = set()
    if entry.deleted is None:
        for parent in directory.containers(entry.id):
            groups |= _closure(directory, parent, closures, numbers)
    return {"id": entry.id, "state": state, "properties": entry.properties.copy(), "groups": list(groups)}


def _closure(
    directory: Directory, group: Entry, closures: dict[str, frozenset[int]], numbers: dict[str, int]
) -> frozenset[int]:
    """A group and all groups it is in, remembered: users share them."""
    if group.id not in closures:
        reached = [group, *directory.transitive_containers(group.id)]
        closures[group.id] = frozenset(numbers[entry.id] for entry in reached if entry.id in numbers)
    return closures[group.id]
