"""Microsoft Graph, as far as this app asks it: authenticated, retried and paged GETs, and batches of them.

Every call takes the deadline by which it must have answered; nothing is retried past it.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol
from urllib.parse import quote, urlencode

import requests

from shared.context import Clock, Deadline, system_clock
from shared.entra.graph.errors import (
    GraphAuthenticationFailed,
    GraphError,
    GraphReplyInvalid,
    GraphThrottled,
    GraphTimeout,
    GraphUnavailable,
    refusal,
)
from shared.entra.graph.throttle import RETRIED_STATUSES, Priority, RetryPolicy, Throttle, parse_retry_after
from shared.entra.graph.transport import ConnectionFailed, GraphTransport, Json, Reply

log = logging.getLogger(__name__)


class TokenSource(Protocol):
    """Where bearer tokens for Graph come from; `fresh` asks for one that is not from the cache."""

    def __call__(self, *, fresh: bool = False) -> str: ...


@dataclass(frozen=True, slots=True)
class GraphUsage:
    """What a client has cost so far. `resource_units` is what Graph's replies said, where they did."""

    requests: int = 0
    batched: int = 0
    resource_units: int = 0
    retries: int = 0
    throttled: int = 0
    waited: timedelta = field(default=timedelta(0))

    def since(self, earlier: "GraphUsage") -> "GraphUsage":
        return GraphUsage(
            self.requests - earlier.requests,
            self.batched - earlier.batched,
            self.resource_units - earlier.resource_units,
            self.retries - earlier.retries,
            self.throttled - earlier.throttled,
            self.waited - earlier.waited,
        )


class GraphClient:
    """Asks Graph. Shared by threads; one per process and priority.

    Args:
        base_url: for example `https://graph.microsoft.com/v1.0`; the bearer token goes to this host only.
        token: gives bearer tokens.
        priority: `high` for calls somebody waits for, `low` for background work.
    """

    def __init__(
        self,
        base_url: str,
        token: TokenSource,
        *,
        priority: str = Priority.HIGH,
        clock: Clock = system_clock,
        sleep: Callable[[float], None] = time.sleep,
        session: requests.Session | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self._transport = GraphTransport(base_url, session)
        self._token = token
        self._priority = Priority(priority)
        self._clock = clock
        self._sleep = sleep
        self._policy = retry_policy or RetryPolicy()
        self._throttle = Throttle()
        self._usage = GraphUsage()
        self._usage_lock = threading.Lock()

    @property
    def usage(self) -> GraphUsage:
        return self._usage

    @property
    def retry_policy(self) -> RetryPolicy:
        return self._policy

    def url(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """The absolute URL of a path below the base; the path must already be percent-encoded."""
        return f"{self._transport.base_url}{relative_url(path, query)}"

    def require_trusted(self, url: str) -> None:
        """Raises UntrustedLink for a link that does not lead to the configured Graph: to be kept, or to be followed."""
        self._transport.require_trusted(url)

    def get(self, url: str, deadline: Deadline, *, permission: str, eventual: bool = False) -> Json:
        """The JSON object at an absolute URL: one made by `url()`, or a link of an earlier reply, followed as it is.

        Args:
            permission: the application permission this needs, named in the error if it is missing.
            eventual: send `ConsistencyLevel: eventual`, which advanced queries need.

        Raises: the errors of shared.entra.graph.errors.
        """
        return self._ask("GET", url, None, deadline, permission, eventual).json()

    def pages(self, url: str, deadline: Deadline, *, permission: str) -> Iterator[Json]:
        """The page at `url` and all pages that follow it by `@odata.nextLink`."""
        visited: set[int] = set()
        link: str | None = url
        while link is not None:
            if hash(link) in visited:
                raise GraphReplyInvalid("its pages go round in a circle")
            visited.add(hash(link))
            page = self.get(link, deadline, permission=permission)
            yield page
            link = next_link(page)

    def count(self, url: str, deadline: Deadline, *, permission: str) -> int:
        """The number at a `…/$count` URL; counts are advanced queries and eventually consistent."""
        text = self._ask("GET", url, None, deadline, permission, eventual=True).body.decode("utf-8-sig", "replace")
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise GraphReplyInvalid("a count is not a number")
        return int(text)

    def post(self, url: str, body: bytes, deadline: Deadline, *, permission: str) -> Json:
        """POSTs JSON. Retried like a GET: only for requests that change nothing (`$batch` of GETs)."""
        return self._ask("POST", url, body, deadline, permission, eventual=False).json()

    def renew_token(self) -> None:
        """Drops the cached token, after Graph refused it inside a batch."""
        self._token(fresh=True)

    def note_batched(self, replies: int, headers: Sequence[Mapping[str, str]]) -> None:
        """Counts sub-replies of a batch, and learns from their throttle headers."""
        units = sum(_resource_units(each) for each in headers)
        self._count(batched=replies, resource_units=units)
        for each in headers:
            self._throttle.note(each)

    def pause(self, seconds: float, deadline: Deadline, *, throttled: bool) -> None:
        """Waits before a retry. Raises GraphThrottled or GraphTimeout at once if the deadline would come first."""
        if seconds >= deadline.remaining:
            raise GraphThrottled(timedelta(seconds=seconds)) if throttled else GraphTimeout
        self._count(retries=1, throttled=int(throttled), waited=timedelta(seconds=seconds))
        self._sleep(seconds)

    def retry_wait(self, status: int, attempt: int, headers: Mapping[str, str]) -> float:
        """Seconds to wait before attempt `attempt + 1`, after a reply of `status` with these headers."""
        return self._policy.wait(status, attempt, parse_retry_after(headers.get("Retry-After"), self._clock))

    def _ask(
        self, method: str, url: str, body: bytes | None, deadline: Deadline, permission: str, eventual: bool
    ) -> Reply:
        self._transport.require_trusted(url)
        headers = self._headers(body is not None, eventual)
        token, renewed = self._token(), False
        attempt = 0
        while True:
            attempt += 1
            self._hold_back(deadline)
            try:
                reply = self._exchange(method, url, token, headers, body, deadline)
            except ConnectionFailed as error:
                self._pause_after_break(error, attempt, deadline)
                continue
            if reply.status == 200:
                return reply
            if reply.status == 401 and not renewed:
                token, renewed = self._token(fresh=True), True
            elif reply.status in RETRIED_STATUSES:
                self._pause_after_refusal(reply, attempt, deadline)
            else:
                raise self._failure(reply, permission)

    def _exchange(
        self, method: str, url: str, token: str, headers: Mapping[str, str], body: bytes | None, deadline: Deadline
    ) -> Reply:
        self._count(requests=1)
        reply = self._transport.exchange(method, url, token, headers, body, deadline)
        self._throttle.note(reply.headers)
        self._count(resource_units=_resource_units(reply.headers))
        return reply

    def _headers(self, has_body: bool, eventual: bool) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "x-ms-throttle-priority": self._priority.value,
            "client-request-id": str(uuid.uuid4()),
            "return-client-request-id": "true",
        }
        if has_body:
            headers["Content-Type"] = "application/json"
        if eventual:
            headers["ConsistencyLevel"] = "eventual"
        return headers

    def _hold_back(self, deadline: Deadline) -> None:
        delay = min(self._throttle.delay(self._priority), deadline.remaining / 2)
        if delay > 0:
            self._count(waited=timedelta(seconds=delay))
            self._sleep(delay)

    def _pause_after_break(self, error: ConnectionFailed, attempt: int, deadline: Deadline) -> None:
        wait = self._policy.wait(None, attempt, None)
        if wait >= deadline.remaining:
            raise (GraphTimeout() if error.timed_out else GraphUnavailable(str(error))) from error
        log.info("graph: %s, attempt %d", error, attempt)
        self.pause(wait, deadline, throttled=False)

    def _pause_after_refusal(self, reply: Reply, attempt: int, deadline: Deadline) -> None:
        wait = self.retry_wait(reply.status, attempt, reply.headers)
        log.info("graph: %d, attempt %d, request-id %s", reply.status, attempt, reply.headers.get("request-id", "-"))
        if reply.status != 429 and wait >= deadline.remaining:
            raise GraphUnavailable(f"it keeps answering {reply.status}")
        self.pause(wait, deadline, throttled=reply.status == 429)

    def _failure(self, reply: Reply, permission: str) -> GraphError:
        if 200 <= reply.status < 400:
            return GraphReplyInvalid(f"its status is {reply.status}")
        graph_code = error_code(reply.json() if reply.body else {})
        log.warning("graph: %d %s, request-id %s", reply.status, graph_code, reply.headers.get("request-id", "-"))
        return failure(reply.status, graph_code, permission)

    def _count(self, **more: int | timedelta) -> None:
        with self._usage_lock:
            self._usage = replace(
                self._usage, **{name: getattr(self._usage, name) + amount for name, amount in more.items()}
            )


def failure(status: int, graph_code: str, permission: str) -> GraphError:
    """The error for a reply that is not a success and was retried as often as it may be."""
    if status == 401:
        return GraphAuthenticationFailed(
            "Microsoft Graph does not accept this app's token; check the tenant and the Graph host in the settings.",
            graph_code=graph_code,
        )
    if status == 429:
        return GraphThrottled(timedelta(seconds=30))
    if status >= 500:
        return GraphUnavailable(f"it keeps answering {status}")
    return refusal(status, graph_code, permission)


def relative_url(path: str, query: Mapping[str, str] | None = None) -> str:
    """A path below the base URL with its query; names keep their `$`, values are percent-encoded entirely."""
    return f"{path}?{urlencode(query, quote_via=quote, safe='$,')}" if query else path


def next_link(page: Json) -> str | None:
    return _link(page, "@odata.nextLink")


def delta_link(page: Json) -> str | None:
    return _link(page, "@odata.deltaLink")


def values(page: Json) -> list[Json]:
    """The objects of a collection's page. Raises GraphReplyInvalid if it is not one."""
    found = page.get("value")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise GraphReplyInvalid("it is not a collection")
    return found


def error_code(body: Json) -> str:
    """Graph's error code in an error body, empty if there is none."""
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code[:100] if isinstance(code, str) and code.isprintable() else ""


def _link(page: Json, name: str) -> str | None:
    link = page.get(name)
    if link is not None and not isinstance(link, str):
        raise GraphReplyInvalid(f"its {name} is not a string")
    return link or None


def _resource_units(headers: Mapping[str, str]) -> int:
    units = headers.get("x-ms-resource-unit", "")
    return int(units) if units.isascii() and units.isdigit() and len(units) < 7 else 0
