"""Takes raised expiry notices to the webhook: what is sent, what its answer changes, when to leave the receiver alone.

A delivery is recorded after it was made. A sender that dies in between sends again, under the same id: at least once.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.context import Clock, Context, system_clock
from shared.directory.ledger import Ledger, Request
from shared.directory.records.base import format_time
from shared.directory.records.certificate import Certificate, certificate_key
from shared.directory.records.notice import ExpiryNotice
from shared.directory.records.user import User, user_key
from shared.directory.transaction import Transaction
from shared.pki.expiry.webhook import Answer, Verdict, Webhook
from shared.pki.issuance.succession import awaits_renewal

READ_AT_ONCE = 50
TIME_TO_STOP = 30.0
"""Seconds before the deadline in which nothing new is begun: more than one call to the webhook may take."""
MOST_ATTEMPTS = 12
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=6)
"""After the first and after the last attempts; it doubles in between. 12 attempts take about 35 hours."""
UNREACHABLE_IN_A_ROW = 3
"""Then the receiver is left alone until the next run: an outage must not use up the attempts of all notices."""


@dataclass
class DeliveryReport:
    """What a run's deliveries came to so far, and whether the receiver should be left alone.

    Attributes:
        dropped: no longer worth sending: renewed, revoked, ended, or a later notice was raised.
        gone: the receiver answered 410.
        paused_until: the receiver asked for it.
        error: what the last failure was.
    """

    paused_until: datetime | None = None
    delivered: int = 0
    dropped: int = 0
    failed: int = 0
    gone: bool = False
    error: str | None = None
    unreachable_in_a_row: int = 0

    def may_send(self, now: datetime) -> bool:
        paused = self.paused_until is not None and now < self.paused_until
        return not self.gone and not paused and self.unreachable_in_a_row < UNREACHABLE_IN_A_ROW

    def note(self, answer: Answer, now: datetime) -> None:
        self.unreachable_in_a_row = self.unreachable_in_a_row + 1 if answer.verdict is Verdict.UNREACHABLE else 0
        if answer.verdict is Verdict.DELIVERED:
            self.delivered += 1
            return
        self.failed += 1
        self.error = answer.reason
        self.gone = answer.verdict is Verdict.GONE
        if answer.pause:
            self.paused_until = now + answer.pause


class ExpiryDelivery:
    """Not safe to share between threads."""

    def __init__(self, ledger: Ledger, webhook: Webhook, *, clock: Clock = system_clock) -> None:
        self._ledger = ledger
        self._webhook = webhook
        self._clock = clock

    @property
    def receiver(self) -> str:
        return self._webhook.name

    def run(self, paused_until: datetime | None, context: Context) -> DeliveryReport:
        """Sends what is due, one after the other; drops what is no longer worth it. Raises what the ledger raises."""
        report, now = DeliveryReport(paused_until), self._clock()
        rows = [row for row in self._ledger.scan(ExpiryNotice) if now > row.not_after or _is_due(row, now)]
        for chunk in _chunks(rows, READ_AT_ONCE):
            certificates = self._ledger.get_many(Certificate, [certificate_key(row.certificate_id) for row in chunk])
            users = self._ledger.get_many(User, [user_key(each.user_id or 0) for each in certificates.values()])
            for row in chunk:
                certificate = certificates.get(certificate_key(row.certificate_id))
                user = users.get(user_key(certificate.user_id or 0)) if certificate else None
                if certificate is None or user is None or not self._is_worth_it(certificate, row):
                    report.dropped += self._record(_closed("notice.dropped", row, context), context)
                elif report.may_send(self._clock()) and context.deadline.remaining > TIME_TO_STOP:
                    answer = self._webhook.send(*self._message(row, certificate, user))
                    report.note(answer, self._clock())
                    self._record(_answered(row, answer, self._clock(), context), context)
        return report

    def _is_worth_it(self, certificate: Certificate, row: ExpiryNotice) -> bool:
        key = certificate_key(certificate.renewed_by or 0)
        successor = self._ledger.get(Certificate, key) if certificate.renewed_by else None
        return certificate.notice_days == row.days and awaits_renewal(certificate, successor, self._clock())

    def _record(self, request: Request[bool], context: Context) -> bool:
        return self._ledger.commit(request, context.deadline).value

    def _message(self, row: ExpiryNotice, certificate: Certificate, user: User) -> tuple[str, bytes]:
        """Id and body. Both are the same at every attempt, as long as the user is the same in the directory."""
        tenant_id = self._ledger.tenant_id
        content = {
            "type": "certificate.expiring",
            "timestamp": format_time(row.raised_at),
            "data": {
                "tenant_id": tenant_id,
                "days": row.days,
                "certificate": _shown(certificate),
                "user": _holder(user),
            },
        }
        return f"expiry-{tenant_id}-{row.certificate_id}-{row.days}", json.dumps(content, ensure_ascii=False).encode()


def revived(row: ExpiryNotice, context: Context) -> Request[bool]:
    """A dead notice gets all its attempts again."""
    return _changed("notice.revived", replace(row, attempts=0, dead=False, next_attempt_at=row.raised_at), context)


def _answered(row: ExpiryNotice, answer: Answer, now: datetime, context: Context) -> Request[bool]:
    if answer.verdict is Verdict.DELIVERED:
        return _closed("notice.delivered", row, context)
    attempts = row.attempts + 1
    pause = min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE)
    failed = replace(
        row, attempts=attempts, next_attempt_at=now + pause, error=answer.reason, dead=attempts >= MOST_ATTEMPTS
    )
    return _changed("notice.dead" if failed.dead else "notice.failed", failed, context)


def _changed(action: str, row: ExpiryNotice, context: Context) -> Request[bool]:
    """Whether there was something to change."""

    def decide(tx: Transaction) -> bool:
        if tx.get(ExpiryNotice, row.key) is None:
            return False
        tx.put(row)
        return True

    return Request(action, context, decide, ((ExpiryNotice, row.key),))


def _closed(action: str, row: ExpiryNotice, context: Context) -> Request[bool]:
    """Whether it was open."""

    def decide(tx: Transaction) -> bool:
        found = tx.get(ExpiryNotice, row.key) is not None
        tx.delete(ExpiryNotice, row.key)
        return found

    return Request(action, context, decide, ((ExpiryNotice, row.key),))


def _is_due(row: ExpiryNotice, now: datetime) -> bool:
    return not row.dead and now >= row.next_attempt_at


def _shown(certificate: Certificate) -> Mapping[str, object]:
    return {
        "id": certificate.id,
        "certificate_type": certificate.certificate_type,
        "serial_number": certificate.serial_number,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_after": format_time(certificate.not_after),
        "fingerprint_sha256": certificate.fingerprint,
    }


def _holder(user: User) -> Mapping[str, object]:
    return {
        "id": user.id,
        "entra_id": user.object_id,
        "user_principal_name": user.user_principal_name,
        "name": user.name,
        "email": user.email,
    }


def _chunks(rows: Sequence[ExpiryNotice], size: int) -> Iterator[Sequence[ExpiryNotice]]:
    for start in itertools.count(0, size):
        if start >= len(rows):
            return
        yield rows[start : start + size]
