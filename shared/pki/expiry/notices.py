"""Expiry notices: raised once for each threshold that a certificate comes within, then handed to `expiry_delivery`.

Raising is a ledger transaction that marks the certificate, so that no notice is raised twice.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from shared.context import Clock, Context, system_clock
from shared.directory.ledger import Ledger, Request
from shared.directory.records.certificate import Certificate, certificate_key
from shared.directory.records.notice import ExpiryNotice, expiry_notice_key
from shared.directory.replica.queries import DueNotice
from shared.directory.replica.replica import Replica
from shared.directory.transaction import Transaction
from shared.errors import AppError
from shared.pki.expiry.delivery import TIME_TO_STOP, DeliveryReport, ExpiryDelivery, revived
from shared.pki.expiry.status import NoticeStatus, NoticeStatuses
from shared.pki.issuance.succession import awaits_renewal

log = logging.getLogger("entra_pki.notices")

AT_ONCE = 500


@dataclass(frozen=True)
class NoticeReport:
    """What a run did; `open` and `dead`: to be delivered, and given up, after it."""

    raised: int
    delivered: int
    dropped: int
    failed: int
    open: int
    dead: int


class ExpiryNotices:
    """To be run by a timer every few minutes. Runs that overlap raise nothing twice, but may send twice.

    Args:
        days: before a certificate's end; empty: no notices.
        delivery: None: notices are raised, and can be listed; nothing is sent.
    """

    def __init__(
        self,
        ledger: Ledger,
        replica: Replica,
        statuses: NoticeStatuses,
        days: Sequence[int],
        delivery: ExpiryDelivery | None,
        *,
        clock: Clock = system_clock,
    ) -> None:
        self._ledger = ledger
        self._replica = replica
        self._statuses = statuses
        self._days = days
        self._delivery = delivery
        self._clock = clock

    def run(self, context: Context) -> NoticeReport:
        """Raises what is due and delivers what is open. Raises ReplicaBuilding and what the ledger raises."""
        raised = self._raise(context) if self._days else 0
        before = self._statuses.get()
        delivered = DeliveryReport(before.paused_until)
        if self._delivery is not None and before.gone != self._delivery.receiver:
            delivered = self._delivery.run(before.paused_until, context)
        left = list(self._ledger.scan(ExpiryNotice))
        dead = sum(row.dead for row in left)
        report = NoticeReport(raised, delivered.delivered, delivered.dropped, delivered.failed, len(left) - dead, dead)
        self._statuses.put(self._status(before, report, delivered))
        log.info("expiry notices: %s", json.dumps(asdict(report)))
        return report

    def retry(self, context: Context) -> int:
        """Gives dead notices all their attempts again, and a receiver that answered 410 another try; how many."""
        dead = [row for row in self._ledger.scan(ExpiryNotice) if row.dead]
        results = self._ledger.commit_all([revived(row, context) for row in dead], context.deadline)
        self._statuses.put(replace(self._statuses.get(), gone=None, paused_until=None, dead=0))
        return sum(not isinstance(result, AppError) and result.value for result in results)

    def _raise(self, context: Context) -> int:
        raised = 0
        while context.deadline.remaining > TIME_TO_STOP:
            self._replica.prepare(context.deadline)
            due = self._replica.due_notices(self._days, AT_ONCE)
            requests = [_raised(notice, self._delivery is not None, context) for notice in due]
            results = self._ledger.commit_all(requests, context.deadline)
            now_raised = sum(not isinstance(result, AppError) and result.value for result in results)
            raised += now_raised
            if len(due) < AT_ONCE or not now_raised:
                break
        return raised

    def _status(self, before: NoticeStatus, report: NoticeReport, delivered: DeliveryReport) -> NoticeStatus:
        now = self._clock()
        failing_since = before.failing_since or (now if delivered.failed else None)
        if delivered.delivered or not report.open:
            failing_since = None
        return NoticeStatus(
            finished_at=now,
            open=report.open,
            dead=report.dead,
            failing_since=failing_since,
            error=delivered.error or (before.error if failing_since or report.dead else None),
            gone=self._delivery.receiver if delivered.gone and self._delivery else before.gone,
            paused_until=delivered.paused_until,
        )


def _raised(due: DueNotice, deliver: bool, context: Context) -> Request[bool]:
    """Whether the notice was raised: only by the first to come, and not for what needs none any more."""

    def decide(tx: Transaction) -> bool:
        certificate = tx.get(Certificate, certificate_key(due.certificate_id))
        if certificate is None or not _is_due(tx, certificate, due.days):
            return False
        if certificate.notice_days is not None:
            tx.delete(ExpiryNotice, expiry_notice_key(certificate.id, certificate.notice_days))
        tx.put(replace(certificate, notice_days=due.days, noticed_at=tx.time, updated_at=tx.time))
        if deliver:
            tx.put(_notice(certificate, due.days, tx.time))
        return True

    reads = ((Certificate, certificate_key(due.certificate_id)),)
    return Request("notice.raised", context, decide, reads)


def _is_due(tx: Transaction, certificate: Certificate, days: int) -> bool:
    if certificate.notice_days is not None and certificate.notice_days <= days:
        return False
    successor = certificate.renewed_by and tx.get(Certificate, certificate_key(certificate.renewed_by))
    within = certificate.not_after <= tx.time + timedelta(days=days)
    return within and awaits_renewal(certificate, successor or None, tx.time)


def _notice(certificate: Certificate, days: int, now: datetime) -> ExpiryNotice:
    return ExpiryNotice(
        certificate_id=certificate.id, days=days, not_after=certificate.not_after, raised_at=now, next_attempt_at=now
    )
