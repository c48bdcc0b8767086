"""The tenant sync's status as told by its checkpoint and its lease."""

from datetime import datetime, timedelta

from shared.entra.tenant_sync.checkpoint import Checkpoint, Round
from shared.entra.tenant_sync.lease import Lease
from shared.entra.tenant_sync.report import Mode, Phase, SyncProgress, SyncStatus


def status_of(checkpoint: Checkpoint, holder: Lease | None, now: datetime) -> SyncStatus:
    return SyncStatus(
        in_progress=holder is not None,
        runner=holder.owner if holder else None,
        last_run=checkpoint.last_run,
        last_success_at=checkpoint.last_success_at,
        round_started_at=checkpoint.round_started_at,
        progress=progress_of(checkpoint.round, now) if checkpoint.round else None,
        held=checkpoint.held,
        errors=tuple(checkpoint.errors),
        broken=checkpoint.broken,
    )


def progress_of(current: Round, now: datetime) -> SyncProgress:
    """Rate and rest are those of the listing of users; other phases are short, or cannot be foreseen."""
    elapsed = (now - current.started_at).total_seconds()
    done = current.counts.seen
    rate = done / elapsed if elapsed > 0 and done else None
    listing = current.mode is Mode.FULL and current.phase is Phase.USERS
    rest = max(0, current.expected - done) if listing and current.expected is not None else None
    remaining = timedelta(seconds=rest / rate) if rest is not None and rate else None
    return SyncProgress(
        current.mode, current.phase, current.started_at, current.counts, current.expected, rate, remaining
    )
