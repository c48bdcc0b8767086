"""Who has a user principal name in our records, by the replica's index instead of a scan of the directory."""

from collections.abc import Collection, Iterator
from datetime import timedelta

from shared.context import Deadline
from shared.directory.replica.errors import ReplicaBuilding, ReplicaUnavailable
from shared.directory.replica.queries import MAX_SEARCH_LENGTH, UserQuery
from shared.directory.replica.replica import Replica
from shared.entra.user_principal_name import fold

PATIENCE = timedelta(seconds=3)
PAGES = 10
"""The search is by substring: a short name may be part of many others."""


class KnownNames:
    """Give it to UserSync as `known_by_name`.

    While the replica cannot answer, nobody is found: what became of such users is then for the tenant sync to see.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def __call__(self, folded: Collection[str]) -> Collection[str]:
        """The object ids of the users who have one of these folded names and are not known to be deleted."""
        try:
            self._replica.catch_up(Deadline.after(PATIENCE))
            return [object_id for name in folded for object_id in self._having(name)]
        except (ReplicaBuilding, ReplicaUnavailable):
            return []

    def _having(self, name: str) -> Iterator[str]:
        for number in range(1, PAGES + 1):
            page = self._replica.users(UserQuery(search=name[:MAX_SEARCH_LENGTH], page=number, per_page=100))
            for user in page.items:
                if user.deleted_at is None and fold(user.user_principal_name or "") == name:
                    yield user.object_id
            if number * page.per_page >= page.total:
                return
