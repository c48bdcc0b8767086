"""Faults of a vault; `path` and `times` as in `local.entra.faults`. Sign requests are `path="/sign"`."""

from typing import Any

from local.entra import faults
from local.entra.faults import Action, Fault, Point

SIGN = "/sign"


def throttled(retry_after: str | None = "1", **where: Any) -> Fault:
    """429, with or without Retry-After."""
    return faults.throttled(retry_after, **{"at": Point.VAULT, **where})


def forbidden(**where: Any) -> Fault:
    """403, as if the role had been taken away."""
    return failing(403, **where)


def failing(status: int = 500, **where: Any) -> Fault:
    """An error instead of the answer; nothing is signed."""
    return faults.failing(status, "InternalServerError", **{"at": Point.VAULT, **where})


def slow(seconds: float, **where: Any) -> Fault:
    """A fixed latency before each reply; for ever unless `times` says otherwise."""
    return faults.slow(seconds, **{"at": Point.VAULT, **where})


def dropped(**where: Any) -> Fault:
    """The request is carried out (a signature is made and counted), but the connection is closed before the reply."""
    return faults.dropped(**{"at": Point.VAULT, **where})


def truncated(fraction: float = 0.5, **where: Any) -> Fault:
    """As `dropped`, but part of the reply arrives."""
    return faults.truncated(fraction, **{"at": Point.VAULT, **where})


def wrong_signature(**where: Any) -> Fault:
    """A well-formed signature by the right key over another digest."""
    return Fault(Action.WRONG_SIGNATURE, **{"at": Point.VAULT, "path": SIGN, **where})


def other_version(**where: Any) -> Fault:
    """Another version of the key answers, and says so in its kid; nothing changes for a key with one version."""
    return Fault(Action.OTHER_VERSION, **{"at": Point.VAULT, **where})
