"""The decisions that write what Entra says about a user into the directory, inside a ledger transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.directory.events import CertificateLoss, UserObserver
from shared.directory.records.base import Record
from shared.directory.records.user import EntraDeletion, ObjectIdLink, User, object_id_key, user_key
from shared.directory.transaction import Transaction
from shared.entra.entra_user import EntraUser
from shared.errors import AppError


@dataclass(frozen=True)
class Sighting:
    """What Entra answered about one live user.

    Attributes:
        group_ids: all groups, transitive and sorted; None leaves what the record says.
        asked_at: before the question was sent.
        known_id: the local id that belongs to the object id, if there is one: what was just read, not a promise.
        touch: note the comparison in `synced_at` even if nothing changed.
        cautious: it comes from a list, which may be old or incomplete. Raises LookAgain where the user should be asked
            for by itself before anything is taken from the record.
        sparing: raises CertificatesAtStake where the user would lose a usable certificate.
    """

    user: EntraUser
    group_ids: tuple[str, ...] | None
    asked_at: datetime
    known_id: int | None
    touch: bool = True
    cautious: bool = False
    sparing: bool = False

    @property
    def reads(self) -> list[tuple[type[Record], str]]:
        """The row that `record_sighting` will read, if it expects one."""
        return [(User, user_key(self.known_id))] if self.known_id is not None else []


class LookAgain(AppError):
    """What a list says of a user is not enough to change the record; to be answered by a read of that user alone."""

    status, code = 409, "user_look_again"


class CertificatesAtStake(AppError):
    """What Entra says of a user would take certificates away, which is not for this decision alone to do."""

    status, code = 409, "certificates_at_stake"

    def __init__(self, user_id: int) -> None:
        super().__init__("The user would lose certificates.")
        self.user_id = user_id


@dataclass(frozen=True)
class Recorded:
    """A user's record before and after; `before` is None for a new one.

    `changed`: whether anything but the time of the comparison changed. `losses`: certificates that went with it.
    """

    before: User | None
    after: User
    changed: bool
    losses: tuple[CertificateLoss, ...] = ()

    @property
    def created(self) -> bool:
        return self.before is None


class UserChanges:
    """Writes sightings and departures; tells the observers in the same transaction.

    Args:
        scope: object ids of the groups whose members are kept in step; empty means everybody.
    """

    def __init__(self, observers: Sequence[UserObserver] = (), scope: frozenset[str] = frozenset()) -> None:
        self._observers = tuple(observers)
        self._scope = scope

    def in_scope(self, group_ids: Sequence[str]) -> bool:
        return not self._scope or not self._scope.isdisjoint(group_ids)

    def record_sighting(self, tx: Transaction, sighting: Sighting) -> Recorded:
        """Creates or updates the user with this object id, also one that had been deleted and is back."""
        before = _find_expected(tx, sighting.user.object_id, sighting.known_id)
        if sighting.cautious:
            _require_enough(before, sighting)
        known_groups = before.group_ids if before else ()
        group_ids = known_groups if sighting.group_ids is None else sighting.group_ids
        values = alive_fields(sighting.user, group_ids, self.in_scope(group_ids))
        recorded = self._put(tx, before, values, sighting.asked_at, touch=sighting.touch)
        if sighting.sparing and any(loss.usable for loss in recorded.losses):
            raise CertificatesAtStake(recorded.after.id)
        return recorded

    def record_deletion(
        self, tx: Transaction, object_id: str, deletion: EntraDeletion, asked_at: datetime
    ) -> Recorded | None:
        """The user left Entra, for the recycle bin or for good. None if the user was never known here."""
        before = find_user(tx, object_id)
        if before is None:
            return None
        values = {"is_active": False, "deletion": deletion, "deleted_at": before.deleted_at or tx.time}
        return self._put(tx, before, values, asked_at, touch=False)

    def record_groups(
        self, tx: Transaction, object_id: str, group_ids: tuple[str, ...], asked_at: datetime
    ) -> Recorded | None:
        """The user's groups changed, and with them perhaps the scope. None if the user is not known here.

        Raises: LookAgain where the user would leave the scope.
        """
        before = find_user(tx, object_id)
        if before is None:
            return None
        if before.is_active and not self.in_scope(group_ids):
            raise LookAgain("The user seems to have left the scope.")
        in_scope = self.in_scope(group_ids)
        active = before.account_enabled and in_scope and before.deletion is None
        values = {"group_ids": group_ids, "in_scope": in_scope, "is_active": active}
        return self._put(tx, before, values, asked_at, touch=False)

    def _put(
        self, tx: Transaction, before: User | None, values: dict[str, Any], asked_at: datetime, *, touch: bool
    ) -> Recorded:
        if before is None:
            user_id = tx.next_id("user")
            tx.put(ObjectIdLink(object_id=values["object_id"], user_id=user_id))
            after = User(id=user_id, created_at=tx.time, updated_at=tx.time, synced_at=asked_at, **values)
        elif any(getattr(before, name) != value for name, value in values.items()):
            after = replace(before, updated_at=tx.time, synced_at=asked_at, **values)
        else:
            after = replace(before, synced_at=asked_at) if touch else before
            tx.put(after)
            return Recorded(before, after, changed=False)
        tx.put(after)
        losses = tuple(loss for observer in self._observers for loss in observer(tx, before, after))
        if self._observers:
            after = tx.get(User, after.key) or after
        return Recorded(before, after, True, losses)


def alive_fields(user: EntraUser, group_ids: tuple[str, ...], in_scope: bool) -> dict[str, Any]:
    """What the record of a user says who is there, deleted before or not."""
    return {
        **user.record_fields(),
        "group_ids": group_ids,
        "in_scope": in_scope,
        "is_active": user.account_enabled and in_scope,
        "deletion": None,
        "deleted_at": None,
        "purged_at": None,
    }


def _require_enough(before: User | None, sighting: Sighting) -> None:
    """Raises LookAgain for what a list cannot settle."""
    if sighting.group_ids is None and (before is None or before.deletion is not None):
        raise LookAgain("The groups of a new or restored user are not known.")
    if before is None:
        return
    if before.synced_at is not None and before.synced_at > sighting.asked_at:
        raise LookAgain("The record is younger than the list.")
    if sighting.user.lost_fields(before):
        raise LookAgain("The list leaves out what the record has.")
    if sighting.group_ids is not None and not set(before.group_ids).issubset(sighting.group_ids):
        raise LookAgain("The list takes groups from the user.")


def find_user(tx: Transaction, object_id: str) -> User | None:
    link = tx.get(ObjectIdLink, object_id_key(object_id))
    return tx.get(User, user_key(link.user_id)) if link else None


def _find_expected(tx: Transaction, object_id: str, known_id: int | None) -> User | None:
    """The user, found without reading the link where that is safe.

    A link is never changed once it is there. And where none is expected, a new one may be put unread: that makes it an
    insert, and if the link is there after all, all is decided again with the link at hand.
    """
    if known_id is not None:
        known = tx.get(User, user_key(known_id))
        if known is not None and known.object_id == object_id:
            return known
    elif not tx.knows(object_id_key(object_id)):
        return None
    return find_user(tx, object_id)
