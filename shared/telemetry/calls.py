"""Calls to other services, each attempt on its own: a span, a duration, and a count where the service throttles."""

import time
from contextlib import AbstractContextManager
from enum import StrEnum
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from shared.telemetry import names
from shared.telemetry.recorder import Recorder, Span, SpanKind, recorder

TABLE_SYSTEM = "azure.table_storage"
KNOWN_SEGMENTS = frozenset(
    (
        *("v1.0", "beta", "users", "groups", "members", "memberOf", "transitiveMembers", "transitiveMemberOf"),
        *("directory", "deletedItems", "microsoft.graph.user", "microsoft.graph.group", "delta", "$batch", "$count"),
        *("keys", "deletedkeys", "create", "sign", "oauth2", "v2.0", "token"),
    )
)
"""What may stand in a path that is told. Everything else is an id, a name or a mail address."""

ROUTINE = frozenset({404, 409, 412})
"""Answers of Table Storage that are no failures: a row is not there, or somebody else was faster."""


class Peer(StrEnum):
    GRAPH = "graph"
    KEY_VAULT = "key_vault"
    ENTRA = "entra"
    WEBHOOK = "webhook"
    TABLE_STORAGE = "table_storage"


class Call:
    """One exchange with another service, for as long as the `with` block. This one is not recorded."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def answered(self, status: int) -> None:
        """The service has answered with this HTTP status."""


_UNRECORDED = Call()


class _RecordedCall(Call):
    def __init__(
        self,
        active: Recorder,
        peer: Peer,
        span: AbstractContextManager[Span],
        duration: names.Instrument,
        attributes: dict[str, str | int],
        expected: frozenset[int] = frozenset(),
    ) -> None:
        self._active = active
        self._peer = peer
        self._span = span
        self._duration = duration
        self._attributes = attributes
        self._expected = expected
        self._status: int | None = None

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        self._current = self._span.__enter__()
        return self

    def answered(self, status: int) -> None:
        self._status = status

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._started
        found: dict[str, str | int] = {}
        if self._status is not None:
            of_tables = self._duration is names.TABLE_DURATION
            found[names.DB_STATUS if of_tables else names.HTTP_STATUS] = (
                str(self._status) if of_tables else self._status
            )
        if kind is not None or ((self._status or 0) >= 400 and self._status not in self._expected):
            found[names.ERROR_TYPE] = kind.__name__ if kind is not None else str(self._status)
            self._current.fail(str(found[names.ERROR_TYPE]))
        self._current.note(found)
        self._active.measure(self._duration, seconds, self._attributes | found)
        if self._status == 429 or (self._peer is Peer.TABLE_STORAGE and self._status == 503):
            count_throttle(self._peer)
        self._span.__exit__(None, None, None)


def http_call(peer: Peer, method: str, url: str) -> Call:
    """An HTTP exchange with a service."""
    active = recorder()
    if not active.recording:
        return _UNRECORDED
    parts = urlsplit(url)
    template = url_template(parts.path)
    attributes: dict[str, str | int] = {
        names.HTTP_METHOD: method,
        names.SERVER_ADDRESS: parts.hostname or "",
        names.SERVER_PORT: parts.port or 443,
        names.URL_TEMPLATE: template,
        names.PEER: peer,
    }
    span = active.span(f"{method} {template}", SpanKind.CLIENT, attributes)
    return _RecordedCall(active, peer, span, names.CLIENT_DURATION, attributes)


def table_call(table: str, method: str, path: str) -> Call:
    """A request to Table Storage; `path` is below the account's endpoint."""
    active = recorder()
    if not active.recording:
        return _UNRECORDED
    operation = "transact" if path == "$batch" else "query" if path.endswith("()") else method.lower()
    attributes: dict[str, str | int] = {
        names.DB_SYSTEM: TABLE_SYSTEM,
        names.DB_OPERATION: operation,
        names.DB_COLLECTION: table,
    }
    span = active.span(f"{operation} {table}", SpanKind.CLIENT, attributes)
    return _RecordedCall(active, Peer.TABLE_STORAGE, span, names.TABLE_DURATION, attributes, ROUTINE)


def count_throttle(peer: Peer) -> None:
    recorder().count(names.THROTTLES, {names.PEER: peer})


def url_template(path: str) -> str:
    """The path with `{}` for whatever names somebody or something: few templates, and nothing personal in them."""
    return "/".join(part if part in KNOWN_SEGMENTS or not part else "{}" for part in path.split("/"))
