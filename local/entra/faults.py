"""Faults on demand: what goes wrong, on which requests, how often. Used by both ends of the control interface."""

import random
import re
import threading
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import unquote


class Point(StrEnum):
    """Which requests a fault can strike."""

    GRAPH = "graph"
    BATCH = "batch"  # each sub-request inside a $batch, on its own
    TOKEN = "token"
    DISCOVERY = "discovery"
    JWKS = "jwks"
    VAULT = "vault"


class Action(StrEnum):
    STATUS = "status"
    SLOW = "slow"
    DROP = "drop"
    TRUNCATE = "truncate"
    DRIP = "drip"
    BODY = "body"
    REDIRECT = "redirect"
    REPLAY_PAGE = "replay_page"
    DUPLICATE_OBJECTS = "duplicate_objects"
    REMOVED_STRANGERS = "removed_strangers"
    EMPTY = "empty"
    NO_NEXT_LINK = "no_next_link"
    FOREIGN_LINK = "foreign_link"
    MISSING_PROPERTIES = "missing_properties"
    WRONG_SIGNATURE = "wrong_signature"
    OTHER_VERSION = "other_version"


CONNECTION = frozenset({Action.SLOW, Action.DROP, Action.TRUNCATE, Action.DRIP})
"""Actions on the connection: they cannot strike inside a batch."""

ANSWERS = frozenset({Action.STATUS, Action.BODY, Action.REDIRECT})
"""Actions that replace the reply: at most one strikes a request."""


@dataclass(frozen=True)
class Fault:
    """One fault. `path` is a regular expression searched in the decoded path and query; `times` None means for ever;
    `skip` lets that many matching requests pass first; `probability` is decided by a generator seeded with `seed`."""

    action: Action
    at: Point = Point.GRAPH
    path: str = ""
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    status: int = 503
    code: str = "serviceNotAvailable"
    retry_after: str | None = None
    seconds: float = 0.0
    fraction: float = 0.5
    names: tuple[str, ...] = ()
    text: str = ""
    size: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Fault":
        known = dict(fields)
        known["action"], known["at"] = Action(known["action"]), Point(known["at"])
        known["names"] = tuple(known["names"])
        return cls(**known)


@dataclass
class _Armed:
    fault: Fault
    pattern: re.Pattern[str]
    random: random.Random
    left: int | None
    skip: int
    struck: int = field(default=0)

    def strikes(self, at: Point, target: str) -> bool:
        if self.fault.at is not at or self.left == 0 or not self.pattern.search(target):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.random.random() >= self.fault.probability:
            return False
        self.struck += 1
        if self.left is not None:
            self.left -= 1
        return True


class FaultBoard:
    """The faults armed in one tenant or vault."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: dict[int, _Armed] = {}
        self._next = 1

    def arm(self, fault: Fault) -> int:
        if fault.at is Point.BATCH and fault.action in CONNECTION:
            raise ValueError(f"a sub-request has no connection of its own to {fault.action}")
        with self._lock:
            number, self._next = self._next, self._next + 1
            armed = _Armed(fault, re.compile(fault.path), random.Random(fault.seed), fault.times, fault.skip)
            self._armed[number] = armed
            return number

    def disarm(self, number: int | None = None) -> None:
        with self._lock:
            if number is None:
                self._armed.clear()
            else:
                self._armed.pop(number, None)

    def struck(self, number: int) -> int:
        """How often a fault has struck."""
        with self._lock:
            return self._armed[number].struck

    def take(self, at: Point, target: str) -> tuple[Fault, ...]:
        """The faults that strike this request, consumed."""
        if not self._armed:
            return ()
        decoded = unquote(target)
        taken: list[Fault] = []
        with self._lock:
            for armed in self._armed.values():
                answered = any(fault.action in ANSWERS for fault in taken)
                if (armed.fault.action not in ANSWERS or not answered) and armed.strikes(at, decoded):
                    taken.append(armed.fault)
        return tuple(taken)


def throttled(retry_after: str | None = "1", *, inside_batch: bool = False, **where: Any) -> Fault:
    """429, outside or inside batches, with or without Retry-After."""
    at = Point.BATCH if inside_batch else Point.GRAPH
    return Fault(Action.STATUS, **{"at": at, **where}, status=429, code="TooManyRequests", retry_after=retry_after)


def failing(
    status: int = 503, code: str = "serviceNotAvailable", retry_after: str | None = None, **where: Any
) -> Fault:
    """An error status with the service's usual error body."""
    return Fault(Action.STATUS, **where, status=status, code=code, retry_after=retry_after)


def slow(seconds: float, **where: Any) -> Fault:
    """A fixed latency before the reply; for ever unless `times` says otherwise."""
    return Fault(Action.SLOW, **{"times": None, **where}, seconds=seconds)


def dropped(**where: Any) -> Fault:
    """The connection is closed instead of a reply."""
    return Fault(Action.DROP, **where)


def truncated(fraction: float = 0.5, **where: Any) -> Fault:
    """The connection is closed after a fraction of the body."""
    return Fault(Action.TRUNCATE, **where, fraction=fraction)


def dripping(seconds: float = 0.2, **where: Any) -> Fault:
    """The body comes one byte at a time."""
    return Fault(Action.DRIP, **where, seconds=seconds)


def body(text: str = "", size: int = 0, status: int = 200, **where: Any) -> Fault:
    """Another body: `text`, repeated up to `size` bytes when that is given (HTML, nothing, something huge)."""
    return Fault(Action.BODY, **where, text=text, size=size, status=status)


def redirected(url: str, **where: Any) -> Fault:
    """302 to another address."""
    return Fault(Action.REDIRECT, **where, text=url)


def gone(**where: Any) -> Fault:
    """410 resyncRequired, with a Location that starts over."""
    return failing(410, "resyncRequired", **{"path": "delta", **where})


def sync_state_not_found(status: int = 400, **where: Any) -> Fault:
    """A delta token that the service does not know any more."""
    return failing(status, "syncStateNotFound", **{"path": "(?i)(delta|skip)token", **where})


def expired_page_token(**where: Any) -> Fault:
    return failing(400, "Directory_ExpiredPageToken", **{"path": "(?i)skiptoken", **where})


def replayed_page(**where: Any) -> Fault:
    """The link of the reply leads to the same page (or, on the last page, round) once more."""
    return Fault(Action.REPLAY_PAGE, **{"path": "delta", **where})


def duplicated_objects(**where: Any) -> Fault:
    """Every object of the page comes twice."""
    return Fault(Action.DUPLICATE_OBJECTS, **{"path": "delta", **where})


def removed_strangers(**where: Any) -> Fault:
    """`@removed` entries for deleted objects and for some that nobody ever heard of."""
    return Fault(Action.REMOVED_STRANGERS, **{"path": "delta", **where})


def empty(**where: Any) -> Fault:
    """A collection without objects and without a next page; a count of 0."""
    return Fault(Action.EMPTY, **where)


def no_next_link(**where: Any) -> Fault:
    """A page that lost its nextLink."""
    return Fault(Action.NO_NEXT_LINK, **where)


def foreign_link(base: str, **where: Any) -> Fault:
    """nextLink and deltaLink lead to another host or to http: `base` replaces `https://host:port`."""
    return Fault(Action.FOREIGN_LINK, **where, text=base)


def missing_properties(*names: str, **where: Any) -> Fault:
    """Objects come without these properties although they were selected."""
    return Fault(Action.MISSING_PROPERTIES, **where, names=names)
