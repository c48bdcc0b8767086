"""What can be read of the directory: pages, counts and single users, each as of the moment of the call."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.context import Clock, Deadline, system_clock
from shared.directory.errors import UserNotFound
from shared.directory.ledger import Ledger
from shared.directory.records.user import Group, User, user_key
from shared.directory.replica.queries import (
    CertificateQuery,
    CertificateSummary,
    Page,
    Statistics,
    UserQuery,
    UserSummary,
)
from shared.directory.replica.replica import Replica

MOST_CERTIFICATES_SHOWN = 1000
"""Of one user, in the reply for that user; all of them are in the list of certificates."""


@dataclass(frozen=True, slots=True)
class UserWithCertificates:
    user: User
    groups: tuple[Group, ...]
    certificates: tuple[CertificateSummary, ...]


@dataclass(frozen=True, slots=True)
class UserList:
    """A page of users, and the active certificates of each who has any."""

    page: Page[UserSummary]
    certificates: Mapping[int, tuple[CertificateSummary, ...]]


class DirectoryReader:
    """Reads from the replica after it has caught up with the ledger, and single rows from the ledger itself.

    Args:
        round_started_at: when the last complete tenant sync started, None before the first: it counts as a sync of
            every user in it.
    """

    def __init__(
        self,
        ledger: Ledger,
        replica: Replica,
        round_started_at: Callable[[], datetime | None],
        *,
        clock: Clock = system_clock,
    ) -> None:
        self._ledger = ledger
        self._replica = replica
        self._round_started_at = round_started_at
        self._clock = clock

    def user(self, user_id: int, deadline: Deadline) -> UserWithCertificates:
        """One user by local id. Raises UserNotFound."""
        user = self._ledger.get(User, user_key(user_id))
        if user is None:
            raise UserNotFound(user_id)
        self._replica.catch_up(deadline)
        groups = self._replica.groups(user.group_ids)
        certificates = self._replica.certificates(CertificateQuery(user_id=user.id, per_page=MOST_CERTIFICATES_SHOWN))
        return UserWithCertificates(self._as_covered(user), groups, certificates.items)

    def users(self, query: UserQuery, deadline: Deadline) -> UserList:
        self._replica.catch_up(deadline)
        page = self._replica.users(query, round_started_at=self._round_started_at())
        return UserList(page, self._replica.active_certificates([user.id for user in page.items]))

    def certificates(self, query: CertificateQuery, deadline: Deadline) -> Page[CertificateSummary]:
        self._replica.catch_up(deadline)
        return self._replica.certificates(query)

    def statistics(self, deadline: Deadline) -> Statistics:
        self._replica.catch_up(deadline)
        return self._replica.statistics(self._clock(), round_started_at=self._round_started_at())

    def _as_covered(self, user: User) -> User:
        round_started_at = self._round_started_at() if user.is_synchronized else None
        moments = [moment for moment in (user.synced_at, round_started_at) if moment]
        return dataclasses.replace(user, synced_at=max(moments, default=None))
