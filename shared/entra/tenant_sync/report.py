"""What the tenant sync says about itself: to the log, to the API and to operators."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Mode(StrEnum):
    FULL = "full"
    """Everything is read and compared."""
    DELTA = "delta"
    """Only what Entra says has changed."""


class Phase(StrEnum):
    """The steps of a round, in their order; a delta round begins at GROUP_CHANGES."""

    TOKENS = "tokens"
    GROUPS = "groups"
    USERS = "users"
    GROUP_CHANGES = "group_changes"
    USER_CHANGES = "user_changes"
    MEMBERSHIPS = "memberships"
    REMOVALS = "removals"
    FINISH = "finish"


class Outcome(StrEnum):
    COMPLETED = "completed"
    CONTINUED = "continued"
    """The time was used up; the next run goes on from there."""
    HELD = "held"
    """Everything is in step but the removals, which wait for an operator."""
    INCOMPLETE = "incomplete"
    """Entra's listing is not credible; nobody loses anything, and the next run lists again."""
    FAILED = "failed"
    BUSY = "busy"
    """Another runner is at work; this run did nothing."""


@dataclass(slots=True)
class Counts:
    """How many users were created, changed, deactivated, found as they were, or could not be copied.

    `certificates`: how many they lost by that, for good or on hold.
    """

    created: int = 0
    updated: int = 0
    deactivated: int = 0
    unchanged: int = 0
    failed: int = 0
    certificates: int = 0

    def add(self, other: "Counts") -> None:
        self.created += other.created
        self.updated += other.updated
        self.deactivated += other.deactivated
        self.unchanged += other.unchanged
        self.failed += other.failed
        self.certificates += other.certificates

    @property
    def seen(self) -> int:
        return self.created + self.updated + self.deactivated + self.unchanged


@dataclass(frozen=True)
class SyncReport:
    """One run. `requests` and `resource_units` are what it cost at Graph; `error` is a sentence for an operator."""

    outcome: Outcome
    mode: Mode
    phase: Phase
    started_at: datetime
    finished_at: datetime
    counts: Counts = field(default_factory=Counts)
    requests: int = 0
    resource_units: int = 0
    throttled: int = 0
    error_code: str | None = None
    error: str | None = None

    @property
    def created(self) -> int:
        return self.counts.created

    @property
    def updated(self) -> int:
        return self.counts.updated

    @property
    def deactivated(self) -> int:
        return self.counts.deactivated

    @property
    def unchanged(self) -> int:
        return self.counts.unchanged

    @property
    def failed(self) -> int:
        return self.counts.failed

    @property
    def duration(self) -> timedelta:
        return self.finished_at - self.started_at

    @property
    def is_calm(self) -> bool:
        """Whether nobody need look at it."""
        return self.outcome in (Outcome.COMPLETED, Outcome.CONTINUED, Outcome.BUSY)


@dataclass(frozen=True)
class SyncError:
    """A sample of what went wrong."""

    at: datetime
    code: str
    message: str
    object_id: str | None = None


@dataclass(frozen=True)
class Held:
    """Removals that wait for an operator.

    Attributes:
        removals, certificates: users confirmed to have left, and certificates that somebody would lose, so far; there
            may be more.
        limit: the one that was exceeded; `reason` tells which.
    """

    since: datetime
    removals: int
    limit: int
    reason: str
    certificates: int = 0


@dataclass(frozen=True)
class SyncProgress:
    """Where the round under way is. `rate` is users a second in this round, `remaining` an estimate."""

    mode: Mode
    phase: Phase
    started_at: datetime
    counts: Counts
    expected: int | None
    rate: float | None
    remaining: timedelta | None


@dataclass(frozen=True)
class SyncStatus:
    """The whole of it.

    Attributes:
        in_progress: a runner is at work right now.
        last_success_at: when the last round ended with all in step.
        round_started_at: when that round began: every user counts as compared with Entra then.
        progress: of the round under way, also between two runs.
        held: removals that wait for an operator.
        errors: samples of the last ones, newest first.
        broken: why the records of these users (object ids) cannot be copied.
    """

    in_progress: bool
    runner: str | None
    last_run: SyncReport | None
    last_success_at: datetime | None
    round_started_at: datetime | None
    progress: SyncProgress | None
    held: Held | None
    errors: tuple[SyncError, ...]
    broken: Mapping[str, str]

    @property
    def needs_attention(self) -> bool:
        """Whether an operator should look: removals held back, a listing not credible, failures."""
        bad = (Outcome.HELD, Outcome.INCOMPLETE, Outcome.FAILED)
        return self.held is not None or (self.last_run is not None and self.last_run.outcome in bad)
