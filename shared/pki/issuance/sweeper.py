"""Accounts for reservations that nobody confirmed: each may have been signed, so each ends up as revoked."""

from dataclasses import dataclass

from shared.context import Clock, Context, system_clock
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.certificate import PendingCertificate
from shared.directory.records.idempotency import IdempotentRequest
from shared.errors import AppError
from shared.pki.issuance.idempotency import RESUMABLE_FOR
from shared.pki.issuance.reservation import sweep

SWEEP_AFTER = RESUMABLE_FOR
"""Far beyond the minute in which a reservation may be signed, and when it can no longer be resumed."""
AT_ONCE = 500
"""Reservations taken in one run, the oldest first; the next run takes the next ones."""

FORGOTTEN_AT_ONCE = 90
"""What fits into one table transaction."""


@dataclass(frozen=True)
class SweepReport:
    """`swept`: revoked now; `waiting`: still pending, young or being signed; `failed`: left to the next run.

    `forgotten`: idempotency keys older than 24 hours, deleted.
    """

    swept: int
    waiting: int
    failed: int
    forgotten: int = 0


class Sweeper:
    """To be run by a timer every few minutes; runs may overlap."""

    def __init__(self, ledger: Ledger, *, clock: Clock = system_clock) -> None:
        self._ledger = ledger
        self._clock = clock

    def run(self, context: Context) -> SweepReport:
        """Revokes what has been pending for more than 15 minutes and is not being signed right now."""
        now = self._clock()
        pending = list(self._ledger.scan(PendingCertificate))
        due = [row for row in pending if now >= row.created_at + SWEEP_AFTER][:AT_ONCE]
        results = self._ledger.commit_all([sweep(row.certificate_id, context) for row in due], context.deadline)
        failed = sum(isinstance(result, AppError) for result in results)
        swept = sum(not isinstance(result, AppError) and result.value for result in results)
        forgotten = self._forget(context)
        return SweepReport(swept=swept, waiting=len(pending) - swept - failed, failed=failed, forgotten=forgotten)

    def _forget(self, context: Context) -> int:
        """Deletes what `Idempotency-Key`s were used for, once they may be used for something else."""
        now = self._clock()
        expired = [row.key for row in self._ledger.scan(IdempotentRequest) if now >= row.expires_at]

        def decide(tx: Transaction) -> int:
            for key in expired[:FORGOTTEN_AT_ONCE]:
                before = tx.get(IdempotentRequest, key)
                if before is not None and tx.time >= before.expires_at:
                    tx.delete(IdempotentRequest, key)
            return len(expired[:FORGOTTEN_AT_ONCE])

        if not expired:
            return 0
        reads = [(IdempotentRequest, key) for key in expired[:FORGOTTEN_AT_ONCE]]
        return self._ledger.commit(Request("idempotency.forgotten", context, decide, reads), context.deadline).value
