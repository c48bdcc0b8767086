"""What is left for later: users with many certificates, renewed ones, and holds that nobody came back for."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.context import Clock, Context, system_clock
from shared.directory.ledger import Ledger, Request
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    RevocationBacklog,
    RevocationReason,
    RevocationSource,
    Succession,
    certificate_key,
    successions_until,
)
from shared.directory.replica.queries import CertificateQuery, EffectiveStatus
from shared.directory.replica.replica import Replica
from shared.directory.transaction import Transaction
from shared.errors import AppError
from shared.pki.issuance.succession import supersede
from shared.pki.revocation.departures import Departures

LONGEST_HOLD = timedelta(days=30)
"""As long as Entra keeps a deleted user (https://learn.microsoft.com/entra/fundamentals/users-restore)."""
PAGE = 500


@dataclass(frozen=True)
class UpkeepReport:
    """`settled`: users all of whose certificates are now where they belong; `waiting`: users with more to do.

    `superseded`: renewed certificates whose overlap is over, revoked now.
    """

    settled: int
    waiting: int
    ended_holds: int
    superseded: int


class RevocationUpkeep:
    """To be run by a timer every few minutes; runs may overlap."""

    def __init__(
        self, ledger: Ledger, replica: Replica, departures: Departures, *, clock: Clock = system_clock
    ) -> None:
        self._ledger = ledger
        self._replica = replica
        self._departures = departures
        self._clock = clock

    def run(self, context: Context) -> UpkeepReport:
        """Goes on with the backlog, ends overlaps, and turns the directory's holds of over 30 days into revocations."""
        users = [row.user_id for row in self._ledger.scan(RevocationBacklog)]
        settled = self._commit([self._departures.continue_backlog(user_id, context) for user_id in users], context)
        over = self._ledger.scan(Succession, start="succession|", end=successions_until(self._clock()))
        superseded = self._commit([supersede(row, context) for row in itertools.islice(over, PAGE)], context)
        self._replica.catch_up(context.deadline)
        ended = self._commit([_end_hold(certificate_id, context) for certificate_id in self._held()], context)
        return UpkeepReport(settled, len(users) - settled, ended, superseded)

    def _commit(self, requests: list[Request[bool]], context: Context) -> int:
        """How many of them said True; one that failed is left to the next run."""
        results = self._ledger.commit_all(requests, context.deadline)
        return sum(not isinstance(result, AppError) and result.value for result in results)

    def _held(self) -> Iterator[int]:
        """Those that the directory holds; how long is decided on the record itself."""
        page = 0
        while True:
            page += 1
            found = self._replica.certificates(
                CertificateQuery(status=EffectiveStatus.HELD, page=page, per_page=PAGE)
            ).items
            yield from (each.id for each in found if each.revocation_source is RevocationSource.DIRECTORY)
            if len(found) < PAGE:
                return


def _end_hold(certificate_id: int, context: Context) -> Request[bool]:
    def decide(tx: Transaction) -> bool:
        current = tx.get(Certificate, certificate_key(certificate_id))
        if current is None or current.status is not CertificateStatus.HELD or current.revoked_at is None:
            return False
        if current.revocation_source is not RevocationSource.DIRECTORY or tx.time < current.revoked_at + LONGEST_HOLD:
            return False
        reason = RevocationReason.CESSATION_OF_OPERATION
        tx.put(replace(current, status=CertificateStatus.REVOKED, revocation_reason=reason, updated_at=tx.time))
        return True

    reads = ((Certificate, certificate_key(certificate_id)),)
    return Request("certificate.hold_ended", context, decide, reads)
