"""Anything that may happen to a tenant, made of plain numbers, so that a failure can be told and repeated."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from local.entra.control import Tenant, new_user
from local.entra.tenant_snapshot import Snapshot


@dataclass(frozen=True)
class Event:
    """One change of the directory: what, and to which of the objects there are (by position, modulo their number)."""

    kind: str
    first: int
    second: int


@dataclass
class TenantStory:
    """Lets events happen to a tenant. What cannot happen to the objects chosen does not happen."""

    tenant: Tenant
    spared: frozenset[str] = frozenset()
    """Groups that are never deleted."""
    _names: int = 0
    _kinds: dict[str, Callable[[Snapshot, int, int], None]] = field(init=False)

    def __post_init__(self) -> None:
        self._kinds = {
            "add_user": self._add_user,
            "add_group": self._add_group,
            "change": self._change,
            "clear": self._clear,
            "rename": self._rename,
            "swap": self._swap,
            "disable": self._disable,
            "delete_user": self._delete_user,
            "restore_user": self._restore_user,
            "purge_user": self._purge_user,
            "join": self._join,
            "nest": self._nest,
            "part": self._part,
            "rename_group": self._rename_group,
            "delete_group": self._delete_group,
            "restore_group": self._restore_group,
            "purge_group": self._purge_group,
        }

    @property
    def kinds(self) -> list[str]:
        return list(self._kinds)

    def happen(self, event: Event) -> None:
        self._kinds[event.kind](self.tenant.snapshot(), event.first, event.second)

    def happen_at_random(self, random: Random, count: int) -> None:
        """Nobody is deleted so often that nobody is left."""
        for _ in range(count):
            self.happen(Event(random.choice(self.kinds), random.randrange(1000), random.randrange(1000)))

    def _new_name(self) -> str:
        self._names += 1
        return f"person{self._names}@contoso.example"

    def _add_user(self, now: Snapshot, first: int, second: int) -> None:
        extra = {"mail": None} if first % 3 == 0 else {"jobTitle": f"Title {second}"}
        self.tenant.add_users([new_user(self._new_name(), **extra)])

    def _add_group(self, now: Snapshot, first: int, second: int) -> None:
        group = self.tenant.add_group(f"Group {first}")
        if user := _pick(_live(now), second):
            self.tenant.add_member(group, user)

    def _change(self, now: Snapshot, first: int, second: int) -> None:
        if user := _pick(_live(now), first):
            self.tenant.update_user(user, jobTitle=f"Title {second}", onPremisesSecurityIdentifier=f"S-1-5-{second}")

    def _clear(self, now: Snapshot, first: int, second: int) -> None:
        if user := _pick(_live(now), first):
            self.tenant.update_user(user, jobTitle=None, mail=None)

    def _rename(self, now: Snapshot, first: int, second: int) -> None:
        if user := _pick(_live(now), first):
            self.tenant.update_user(user, userPrincipalName=self._new_name())

    def _swap(self, now: Snapshot, first: int, second: int) -> None:
        one, other = _pick(_live(now), first), _pick(_live(now), second)
        if one and other and one != other:
            names = now.users[one].user_principal_name, now.users[other].user_principal_name
            self.tenant.update_user(one, userPrincipalName=self._new_name())
            self.tenant.update_user(other, userPrincipalName=names[0])
            self.tenant.update_user(one, userPrincipalName=names[1])

    def _disable(self, now: Snapshot, first: int, second: int) -> None:
        if user := _pick(_live(now), first):
            self.tenant.update_user(user, accountEnabled=second % 2 == 0)

    def _delete_user(self, now: Snapshot, first: int, second: int) -> None:
        if len(_live(now)) > 3 and (user := _pick(_live(now), first)):
            self.tenant.delete(user)

    def _restore_user(self, now: Snapshot, first: int, second: int) -> None:
        deleted = sorted(user.id for user in now.users.values() if user.state == "deleted")
        taken = {now.users[user].user_principal_name for user in _live(now)}
        user = _pick(deleted, first)
        if user and now.users[user].user_principal_name not in taken:
            self.tenant.restore(user)

    def _purge_user(self, now: Snapshot, first: int, second: int) -> None:
        if user := _pick(sorted(user.id for user in now.users.values() if user.state == "deleted"), first):
            self.tenant.purge(user)

    def _join(self, now: Snapshot, first: int, second: int) -> None:
        group, user = _pick(_groups(now), first), _pick(_live(now), second)
        if group and user:
            self.tenant.add_member(group, user)

    def _nest(self, now: Snapshot, first: int, second: int) -> None:
        outer, inner = _pick(_groups(now), first), _pick(_groups(now), second)
        if outer and inner and outer != inner:
            self.tenant.add_member(outer, inner)

    def _part(self, now: Snapshot, first: int, second: int) -> None:
        group = _pick([each for each in _groups(now) if now.groups[each].members], first)
        if group and (member := _pick(sorted(now.groups[group].members), second)):
            self.tenant.remove_member(group, member)

    def _rename_group(self, now: Snapshot, first: int, second: int) -> None:
        if group := _pick(_groups(now), first):
            self.tenant.update_group(group, displayName=f"Renamed {second}")

    def _delete_group(self, now: Snapshot, first: int, second: int) -> None:
        deletable = sorted(set(_groups(now)) - self.spared)
        if len(deletable) > 1 and (group := _pick(deletable, first)):
            self.tenant.delete(group)

    def _restore_group(self, now: Snapshot, first: int, second: int) -> None:
        if group := _pick(sorted(group.id for group in now.groups.values() if group.deleted), first):
            self.tenant.restore(group)

    def _purge_group(self, now: Snapshot, first: int, second: int) -> None:
        if group := _pick(sorted(group.id for group in now.groups.values() if group.deleted), first):
            self.tenant.purge(group)


def _live(now: Snapshot) -> list[str]:
    return sorted(user.id for user in now.users.values() if user.state != "deleted")


def _groups(now: Snapshot) -> list[str]:
    return sorted(group.id for group in now.groups.values() if not group.deleted)


def _pick(objects: list[str], position: int) -> str | None:
    return objects[position % len(objects)] if objects else None
