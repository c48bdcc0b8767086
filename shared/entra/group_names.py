"""The display names of groups: written once, not with every user who is in them."""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.context import Context
from shared.directory.ledger import Ledger, Request
from shared.directory.records.user import Group
from shared.directory.transaction import Transaction

REMEMBERED = 50_000
"""Names held in memory at most, some 10 MB."""
MEMORY_LIFE = timedelta(minutes=5)
"""How long another process's change of a name may stay unseen here."""
NAMES_PER_REQUEST = 14
"""A request is committed as a whole; small ones fill transactions (of 98 rows) well."""


class GroupNames:
    """Finds which names the directory does not know yet. Shared by threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._known_since = time.monotonic()

    def news(self, groups: Iterable[Group]) -> list["GroupName"]:
        """Those whose stored name is missing or another one. An empty name is no news."""
        named = {group.object_id: group for group in groups if group.display_name}
        with self._lock:
            if time.monotonic() - self._known_since > MEMORY_LIFE.total_seconds() or len(self._known) > REMEMBERED:
                self._known, self._known_since = {}, time.monotonic()
            unsure = [group for group in named.values() if self._known.get(group.object_id) != group.display_name]
        stored = self._ledger.get_many(Group, [group.key for group in unsure]) if unsure else {}
        self.remember(stored.values())
        return [GroupName(group, group.key in stored) for group in unsure if stored.get(group.key) != group]

    def remember(self, groups: Iterable[Group]) -> None:
        """These names are stored now."""
        with self._lock:
            self._known.update((group.object_id, group.display_name) for group in groups)

    def forget(self, object_ids: Iterable[str]) -> None:
        with self._lock:
            for object_id in object_ids:
                self._known.pop(object_id, None)


@dataclass(frozen=True, slots=True)
class GroupName:
    """A name to be stored; `known`: the group has had another one."""

    group: Group
    known: bool


def naming_requests(names: Sequence[GroupName], context: Context) -> list[Request[None]]:
    """Ledger requests that store these names, some in each."""
    chunks = [names[at : at + NAMES_PER_REQUEST] for at in range(0, len(names), NAMES_PER_REQUEST)]
    return [_naming_request(tuple(chunk), context) for chunk in chunks]


def _naming_request(names: tuple[GroupName, ...], context: Context) -> Request[None]:
    def decide(tx: Transaction) -> None:
        for name in names:
            tx.put(name.group)  # unread, it is an insert, and if that fails all is decided again

    reads = [(Group, name.group.key) for name in names if name.known]
    return Request("group.named", context, decide, reads=reads)
