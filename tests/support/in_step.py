"""Whether a ledger says the same as the emulated tenant that it was synchronized with."""

from collections.abc import Collection

from local.entra.tenant_snapshot import Snapshot, SnapshotUser
from shared.directory.ledger import Ledger
from shared.directory.records.user import EntraDeletion, Group, ObjectIdLink, User

COMPARED = {
    "userPrincipalName": "user_principal_name",
    "givenName": "given_name",
    "surname": "surname",
    "mail": "mail",
    "jobTitle": "job_title",
    "department": "department",
    "userType": "user_type",
    "accountEnabled": "account_enabled",
    "onPremisesSecurityIdentifier": "on_premises_security_identifier",
}


def differences(snapshot: Snapshot, ledger: Ledger, scope: Collection[str] = ()) -> list[str]:
    """Every way in which the ledger is not the directory; empty when they are in step.

    Args:
        scope: groups whose members are wanted; empty means everybody.
    """
    users = {user.object_id: user for user in ledger.scan(User) if user.object_id}
    found: list[str] = []
    for object_id, there in snapshot.users.items():
        here = users.get(object_id)
        wanted = not scope or not there.groups.isdisjoint(scope)
        if here is None:
            if wanted and there.state != "deleted":
                found.append(f"{there.user_principal_name} is missing")
        else:
            found += [f"{there.user_principal_name}: {each}" for each in _user_differences(there, here, wanted)]
    for object_id in users.keys() - snapshot.users.keys():
        user = users[object_id]
        if object_id not in snapshot.purged:
            found.append(f"{user.user_principal_name} is nobody there")
        elif (user.is_active, user.deletion) != (False, EntraDeletion.HARD):
            found.append(f"{user.user_principal_name} is gone there, but {user.is_active=} {user.deletion=} here")
    return found + _group_differences(snapshot, ledger) + _link_differences(ledger)


def _user_differences(there: SnapshotUser, here: User, wanted: bool) -> list[str]:
    if there.state == "deleted":
        gone = (here.is_active, here.deletion) == (False, EntraDeletion.SOFT)
        return [] if gone else [f"deleted there, but {here.is_active=} {here.deletion=}"]
    found = [
        f"{name}: {there.properties.get(name)!r} there, {getattr(here, field)!r} here"
        for name, field in COMPARED.items()
        if there.properties.get(name) != getattr(here, field)
    ]
    if here.is_active != (there.state == "active" and wanted) or here.deletion is not None:
        found.append(f"{there.state} there, but {here.is_active=} {here.deletion=} {wanted=}")
    if frozenset(here.group_ids) != there.groups or list(here.group_ids) != sorted(here.group_ids):
        found.append(f"in groups {sorted(there.groups)} there, {here.group_ids} here")
    return found


def _group_differences(snapshot: Snapshot, ledger: Ledger) -> list[str]:
    there = {group.id: group.display_name for group in snapshot.groups.values() if not group.deleted}
    here = {group.object_id: group.display_name for group in ledger.scan(Group)}
    return [
        f"group {group_id}: {there.get(group_id)!r} there, {here.get(group_id)!r} here"
        for group_id in there.keys() | here.keys()
        if there.get(group_id) != here.get(group_id)
    ]


def _link_differences(ledger: Ledger) -> list[str]:
    links = {link.object_id: link.user_id for link in ledger.scan(ObjectIdLink)}
    users = {user.object_id: user.id for user in ledger.scan(User) if user.object_id}
    ids = sorted(user.id for user in ledger.scan(User))
    found = [] if links == users else ["the links are not those of the users"]
    return found if ids == list(range(1, len(ids) + 1)) else [*found, f"local ids are not dense: {ids}"]
