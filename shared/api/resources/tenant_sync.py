"""How the sync of the whole tenant is doing."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from shared.api.resources.base import Resource

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.entra.tenant_sync.report import SyncReport, SyncStatus


class SyncRun(Resource):
    """One run of the tenant sync."""

    started_at: datetime
    finished_at: datetime
    outcome: str = Field(description="completed, continued, held, incomplete or failed", examples=["completed"])
    mode: str = Field(description="full: everything compared; delta: changes only", examples=["delta"])
    created: int
    updated: int
    deactivated: int
    unchanged: int
    failed: int
    certificates: int = Field(description="how many the users lost by it, for good or on hold")
    error: str | None

    @classmethod
    def of(cls, run: "SyncReport") -> Self:
        return cls(
            started_at=run.started_at,
            finished_at=run.finished_at,
            outcome=run.outcome,
            mode=run.mode,
            **dataclasses.asdict(run.counts),
            error=run.error,
        )


class SyncCounts(Resource):
    last_run: SyncRun | None
    last_success_at: datetime | None
    in_progress: bool

    @classmethod
    def members_of(cls, status: "SyncStatus") -> dict[str, Any]:
        return {
            "last_run": SyncRun.of(status.last_run) if status.last_run else None,
            "last_success_at": status.last_success_at,
            "in_progress": status.in_progress,
        }


class SyncProgressResource(Resource):
    """The round under way, also between two runs."""

    mode: str = Field(examples=["full"])
    phase: str = Field(examples=["users"])
    started_at: datetime
    seen: int
    expected: int | None = Field(description="users, where Entra ID tells how many")
    users_per_second: float | None
    remaining_seconds: float | None


class HeldRemovals(Resource):
    """Removals that wait for an operator's `manage.py sync --accept-removals`."""

    since: datetime
    removals: int
    limit: int
    reason: str
    certificates: int


class SyncErrorResource(Resource):
    at: datetime
    code: str
    message: str
    entra_id: str | None


class SyncStatusResource(SyncCounts):
    progress: SyncProgressResource | None
    held: HeldRemovals | None
    errors: list[SyncErrorResource]
    broken_users: Mapping[str, str] = Field(description="why these users (object ids) cannot be copied")

    @classmethod
    def of(cls, status: "SyncStatus") -> Self:
        errors = [
            SyncErrorResource(at=error.at, code=error.code, message=error.message, entra_id=error.object_id)
            for error in status.errors
        ]
        return cls(
            **cls.members_of(status),
            progress=_progress(status),
            held=HeldRemovals(**dataclasses.asdict(status.held)) if status.held else None,
            errors=errors,
            broken_users=status.broken,
        )


class StartedSync(Resource):
    status_url: str


def _progress(status: "SyncStatus") -> SyncProgressResource | None:
    progress = status.progress
    if progress is None:
        return None
    return SyncProgressResource(
        mode=progress.mode,
        phase=progress.phase,
        started_at=progress.started_at,
        seen=progress.counts.seen,
        expected=progress.expected,
        users_per_second=progress.rate,
        remaining_seconds=progress.remaining.total_seconds() if progress.remaining is not None else None,
    )
