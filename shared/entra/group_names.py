"""The display names of groups: written once, not with every user who is in them."""

import threading
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta

from shared.context import Context
from shared.directory.ledger import Ledger, Request
from shared.directory.records.user import Group
from shared.directory.transaction import Transaction

REMEMBERED = 50_000
"""Names held in memory at most, some 10 MB."""
MEMORY_LIFE = timedelta(minutes=5)
"""How long another process's change of a name may stay unseen here."""
NAMES_PER_REQUEST = 50


class GroupNames:
    """Finds which names the directory does not know yet. Shared by threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._known_since = time.monotonic()

    def news(self, groups: Iterable[Group]) -> list[Group]:
        """Those whose stored name is missing or another one. An empty name is no news."""
        named = {group.object_id: group for group in groups if group.display_name}
        with self._lock:
            if time.monotonic() - self._known_since > MEMORY_LIFE.total_seconds() or len(self._known) > REMEMBERED:
                self._known, self._known_since = {}, time.monotonic()
            unsure = [group for group in named.values() if self._known.get(group.object_id) != group.display_name]
        stored = self._ledger.get_many(Group, [group.key for group in unsure]) if unsure else {}
        news = [group for group in unsure if stored.get(group.key) != group]
        self.remember(group for group in unsure if stored.get(group.key) == group)
        return news

    def remember(self, groups: Iterable[Group]) -> None:
        """These names are stored now."""
        with self._lock:
            self._known.update((group.object_id, group.display_name) for group in groups)

    def forget(self, object_ids: Iterable[str]) -> None:
        with self._lock:
            for object_id in object_ids:
                self._known.pop(object_id, None)


def naming_requests(groups: Sequence[Group], context: Context) -> list[Request[None]]:
    """Ledger requests that store these names, some in each."""
    chunks = [groups[at : at + NAMES_PER_REQUEST] for at in range(0, len(groups), NAMES_PER_REQUEST)]
    return [_naming_request(tuple(chunk), context) for chunk in chunks]


def _naming_request(groups: tuple[Group, ...], context: Context) -> Request[None]:
    def decide(tx: Transaction) -> None:
        for group in groups:
            tx.put(group)

    return Request("group.named", context, decide, reads=[(Group, group.key) for group in groups])
