"""Who asks for something, under which request id, and until when it must be answered."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

Clock = Callable[[], datetime]
"""The present moment, time-zone aware, UTC. Passed in wherever time matters, so that tests own it."""


def system_clock() -> datetime:
    return datetime.now(UTC)


class ActorKind(StrEnum):
    USER = "user"
    """A person with a delegated Entra token."""
    APP = "app"
    """A service with an application Entra token."""
    API_TOKEN = "api_token"  # noqa: S105  (a kind, not a secret)
    TIMER = "timer"
    OPERATOR = "operator"
    """Somebody at `manage.py`."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: what the audit log names.

    `id` is the Entra object id (user), the client id (app), the token's id (API token) or the account name (operator).
    """

    kind: ActorKind
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock by which an operation must have answered."""

    at: float

    @classmethod
    def after(cls, duration: timedelta) -> "Deadline":
        return cls(time.monotonic() + duration.total_seconds())

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        return self.remaining <= 0.0


REQUEST_BUDGET = timedelta(seconds=30)
"""How long one API call may take in all. Azure's load balancer cuts HTTP answers at 230 s
(https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout); callers give up long before."""


@dataclass(frozen=True, slots=True)
class Context:
    """One operation: its actor, its request id (for log and audit) and its deadline."""

    actor: Actor
    request_id: str
    deadline: Deadline = field(default_factory=lambda: Deadline.after(REQUEST_BUDGET))
