"""Who has which mail address, kept in memory: read once from the directory, then brought up to date from its log."""

import threading
from collections import defaultdict
from collections.abc import Iterable

from shared.directory.ledger import Ledger
from shared.directory.records.user import User
from shared.pki.issuance.holder import addresses


class MailIndex:
    """Answers for the present moment: each question begins with a look at the ledger's head."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._seq: int | None = None
        self._addresses: dict[int, frozenset[str]] = {}
        self._owners: defaultdict[str, set[int]] = defaultdict(set)

    def owners(self, address: str, uncommitted: Iterable[User] = ()) -> frozenset[int]:
        """The live users who have the address as mail or as a proxy address, as of now.

        `uncommitted`: users as they are about to be; they count instead of what the directory says of them.
        """
        with self._lock:
            self._catch_up()
            found = set(self._owners.get(address.casefold(), ()))
        for user in uncommitted:
            found.discard(user.id)
            if address.casefold() in _addresses(user):
                found.add(user.id)
        return frozenset(found)

    def _catch_up(self) -> None:
        head = self._ledger.head().seq
        if self._seq is None:
            self._learn(self._ledger.scan(User))
        elif self._seq < head:
            self._learn(self._ledger.get_many(User, self._changed_since(self._seq, head)).values())
        self._seq = head

    def _changed_since(self, seq: int, head: int) -> list[str]:
        prefix = f"{User.KIND}|"
        keys = {
            change.key
            for row in self._ledger.log(seq, head)
            for operation in row.operations
            for change in operation.changes
            if change.key.startswith(prefix)
        }
        return sorted(keys)

    def _learn(self, users: Iterable[User]) -> None:
        for user in users:
            for address in self._addresses.pop(user.id, frozenset()):
                self._owners[address].discard(user.id)
                if not self._owners[address]:
                    del self._owners[address]
            if found := _addresses(user):
                self._addresses[user.id] = found
                for address in found:
                    self._owners[address].add(user.id)


def _addresses(user: User) -> frozenset[str]:
    """Folded; none of a user who is deleted."""
    return addresses(user) if user.deletion is None else frozenset()
