"""Certificates about to end without a successor, with whom they are for and what became of their notices."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.context import Deadline
from shared.directory.ledger import Ledger
from shared.directory.records.notice import ExpiryNotice, expiry_notice_key
from shared.directory.records.user import User, user_key
from shared.directory.replica.queries import CertificateSummary, ExpiringCertificates, Page
from shared.directory.replica.replica import Replica


@dataclass(frozen=True, slots=True)
class ExpiringList:
    """A page, with its users and the notices that are not delivered yet, by id of user and of certificate."""

    page: Page[CertificateSummary]
    users: Mapping[int, User]
    open_notices: Mapping[int, ExpiryNotice]


class ExpiryListing:
    def __init__(self, ledger: Ledger, replica: Replica) -> None:
        self._ledger = ledger
        self._replica = replica

    def find(self, query: ExpiringCertificates, deadline: Deadline) -> ExpiringList:
        """As of now. Raises ReplicaBuilding."""
        self._replica.catch_up(deadline)
        page = self._replica.expiring(query)
        users = self._ledger.get_many(User, list({user_key(each.user_id or 0) for each in page.items}))
        noticed = [(each.id, each.notice_days) for each in page.items]
        keys = [expiry_notice_key(number, days) for number, days in noticed if days is not None]
        notices = self._ledger.get_many(ExpiryNotice, keys)
        return ExpiringList(
            page,
            {user.id: user for user in users.values()},
            {notice.certificate_id: notice for notice in notices.values()},
        )
