"""The whole directory as plain data: what a sync must arrive at."""

from typing import Any

from local.entra.directory import Directory, Entry


def snapshot(directory: Directory) -> dict[str, Any]:
    """Users with their state and transitive groups, and groups with their direct live members.

    A user's groups are Entra groups only, no directory roles or administrative units; a deleted user is in none.
    """
    with directory.lock:
        closures: dict[str, frozenset[str]] = {}
        users = [_user(directory, e, closures) for e in directory.entries.values() if e.type.name == "user"]
        groups = [
            {
                "id": entry.id,
                "displayName": entry.properties.get("displayName"),
                "deleted": entry.deleted is not None,
                "members": [member.id for member in directory.live_members(entry.id)],
            }
            for entry in directory.entries.values()
            if entry.type.name == "group"
        ]
        return {"users": users, "groups": groups, "purged": sorted(directory.purged)}


def _user(directory: Directory, entry: Entry, closures: dict[str, frozenset[str]]) -> dict[str, Any]:
    if entry.deleted is not None:
        state = "deleted"
    else:
        state = "active" if entry.properties.get("accountEnabled", True) else "disabled"
    groups: set[str] = set()
    if entry.deleted is None:
        for parent in directory.containers(entry.id):
            groups |= _closure(directory, parent, closures)
    return {"id": entry.id, "state": state, "properties": dict(entry.properties), "groups": sorted(groups)}


def _closure(directory: Directory, group: Entry, closures: dict[str, frozenset[str]]) -> frozenset[str]:
    """A group and all groups it is in, remembered: users share them."""
    if group.id not in closures:
        found = [group, *directory.transitive_containers(group.id)]
        closures[group.id] = frozenset(entry.id for entry in found if entry.type.name == "group")
    return closures[group.id]
