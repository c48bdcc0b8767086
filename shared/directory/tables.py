"""Azure Table Storage as this app uses it: one table, few calls, explicit time-outs, no hidden retry of a write.

The SDK supplies endpoints, authentication and the HTTP pipeline. Entities travel as raw JSON over that pipeline: the
SDK's own entity classes cost some 47 ms of CPU per 1,000 entities, plain JSON about 3 ms.
"""

import json
import os
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

from shared.context import Clock, Deadline, system_clock
from shared.directory.batch import Batch, BatchReply, entity_path, parse_reply
from shared.directory.errors import StateChanged, StorageRefused, StorageUnavailable
from shared.directory.rows import Entity
from shared.telemetry.calls import table_call
from shared.telemetry.recorder import recorder

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.data.tables import TableClient

API_VERSION = "2019-02-02"  # the newest that storage accounts and the SDK speak for tables
CONNECT_TIMEOUT = timedelta(seconds=3)
READ_TIMEOUT = timedelta(seconds=10)
"""The service itself gives up on a query after 5 s, on a write after 30 s
(https://learn.microsoft.com/rest/api/storageservices/setting-timeouts-for-table-service-operations)."""
READ_BUDGET = timedelta(seconds=20)
"""For reads whose caller sets no deadline."""
READ_ATTEMPTS = 5
PARALLEL_READS = 16
PAGE = 1000
"""Entities a query answers with at most (query-timeout-and-pagination)."""
_JSON = "application/json;odata=minimalmetadata"
_ERROR_CODE = re.compile(r'"code"\s*:\s*"(\w{1,80})"')
_BUSY = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def retry_after(self) -> float:
        """Seconds the service asks to wait, at most 5; 0 if it does not ask."""
        value = self.headers.get("Retry-After", "")
        return min(float(value), 5.0) if value.isdecimal() else 0.0


class TableStore:
    """One table. Safe to share between threads; not across `fork`."""

    def __init__(self, client: "TableClient", clock: Clock = system_clock) -> None:
        self._client = client
        self._clock = clock
        self._skew: timedelta | None = None
        self._pool = ThreadPoolExecutor(PARALLEL_READS, thread_name_prefix="table-read")

    @classmethod
    def from_connection_string(cls, connection_string: str, table: str) -> "TableStore":
        from azure.data.tables import TableClient

        url = TableClient.from_connection_string(connection_string, table).url
        return cls(TableClient.from_connection_string(connection_string, table, **_options(url)))

    @classmethod
    def from_endpoint(cls, url: str, table: str, credential: "TokenCredential") -> "TableStore":
        from azure.data.tables import TableClient

        return cls(TableClient(url, table, credential=credential, **_options(url)))

    @property
    def table(self) -> str:
        return self._client.table_name

    @property
    def url(self) -> str:
        """The account's table endpoint."""
        return self._client.url.rstrip("/")

    def clock_skew(self) -> timedelta | None:
        """Our clock minus the storage service's, to about a second; None before the first answer."""
        return self._skew

    def create_if_missing(self) -> None:
        """Creates the table. Raises: StorageUnavailable, StorageRefused."""
        body = json.dumps({"TableName": self.table}).encode()
        reply = self._retried("POST", "Tables", Deadline.after(READ_BUDGET), body=body)
        if reply.status not in (201, 204, 409):
            raise _refused(reply)

    def get(self, partition: str, key: str, deadline: Deadline | None = None) -> Entity | None:
        """One point read. Raises: StorageUnavailable, StorageRefused."""
        reply = self._retried("GET", entity_path(self.table, partition, key), deadline or Deadline.after(READ_BUDGET))
        if reply.status == 404:
            if "TableNotFound" in reply.text:
                raise StorageRefused(f"The table {self.table} does not exist.")
            return None
        if reply.status != 200:
            raise _refused(reply)
        return cast(Entity, json.loads(reply.body))

    def get_many(self, partition: str, keys: Sequence[str], deadline: Deadline | None = None) -> dict[str, Entity]:
        """Parallel point reads; the keys that are not there are left out."""
        if len(keys) == 1:
            found = [self.get(partition, keys[0], deadline)]
        else:
            read = recorder().carried(lambda key: self.get(partition, key, deadline))
            found = list(self._pool.map(read, keys))
        return {key: entity for key, entity in zip(keys, found, strict=True) if entity is not None}

    def query(
        self,
        partition: str,
        start: str,
        end: str | None,
        deadline: Deadline | None = None,
        *,
        only: Sequence[str] = (),
    ) -> Iterator[Entity]:
        """The entities with start ≤ RowKey < end, in order; each page is read when the one before it is used up.

        `deadline` holds for each page; `only`: with these properties and no others. Raises: StorageUnavailable,
        StorageRefused.
        """
        condition = f"PartitionKey eq {_literal(partition)} and RowKey ge {_literal(start)}"
        if end is not None:
            condition += f" and RowKey lt {_literal(end)}"
        query = {"$filter": condition, "$top": str(PAGE)}
        if only:
            query["$select"] = ",".join(("RowKey", *only))
        continuation: dict[str, str] = {}
        while True:
            reply = self._retried(
                "GET", f"{self.table}()", deadline or Deadline.after(READ_BUDGET), query={**query, **continuation}
            )
            if reply.status != 200:
                raise _refused(reply)
            yield from json.loads(reply.body)["value"]
            continuation = _continuation(reply.headers)
            if not continuation:
                return

    def query_ranges(
        self, partition: str, ranges: Sequence[tuple[str, str]], parallel: int = 8, *, only: Sequence[str] = ()
    ) -> Iterator[Entity]:
        """The entities of several key ranges, range after range, up to `parallel` ranges read ahead."""
        read = recorder().carried(self._range)
        window = [self._pool.submit(read, partition, start, end, only) for start, end in ranges[:parallel]]
        for start, end in [*ranges[parallel:], *[("", "")] * len(window)]:
            page = window.pop(0).result()
            if start:
                window.append(self._pool.submit(read, partition, start, end, only))
            yield from page

    def transact(self, batch: Batch, deadline: Deadline) -> BatchReply | None:
        """Sends an entity group transaction once. None: nothing is known about its outcome."""
        try:
            reply = self._send("POST", "$batch", deadline, body=batch.body, content_type=batch.content_type)
        except StorageUnavailable:
            return None
        if reply.status == 202:
            return parse_reply(reply.body, batch.operations)
        if reply.status in _BUSY:
            return None
        return BatchReply(reply.status, (), reply.text)

    def put(self, partition: str, key: str, properties: Mapping[str, Any], etag: str | None) -> str:
        """Writes one entity: `etag` None: whatever is there; "": only if absent; else only if unchanged.

        Sent again after an unclear answer, so with an ETag a success of our own may be reported as StateChanged.
        Returns the new ETag. Raises: StateChanged, StorageUnavailable, StorageRefused.
        """
        body = json.dumps({"PartitionKey": partition, "RowKey": key, **properties}).encode("ascii")
        deadline = Deadline.after(READ_BUDGET)
        if etag == "":
            reply = self._retried("POST", self.table, deadline, body=body)
        else:
            headers = {"If-Match": etag} if etag else {}
            reply = self._retried("PUT", entity_path(self.table, partition, key), deadline, body=body, headers=headers)
        if reply.status in (404, 409, 412):
            raise StateChanged(key)
        if reply.status not in (201, 204):
            raise _refused(reply)
        return reply.headers["ETag"]

    def merge(self, partition: str, key: str, properties: Mapping[str, Any], deadline: Deadline) -> None:
        """Sets some properties of an entity, whatever its ETag, and leaves the others; nothing if it is not there."""
        body = json.dumps({"PartitionKey": partition, "RowKey": key, **properties}).encode("ascii")
        path = entity_path(self.table, partition, key)
        reply = self._retried("PATCH", path, deadline, body=body, headers={"If-Match": "*"})
        if reply.status not in (204, 404):
            raise _refused(reply)

    def delete(self, partition: str, key: str) -> None:
        """Deletes one entity, if it is there."""
        path = entity_path(self.table, partition, key)
        reply = self._retried("DELETE", path, Deadline.after(READ_BUDGET), headers={"If-Match": "*"})
        if reply.status not in (204, 404):
            raise _refused(reply)

    def _range(self, partition: str, start: str, end: str, only: Sequence[str]) -> list[Entity]:
        return list(self.query(partition, start, end, only=only))

    def _retried(self, method: str, path: str, deadline: Deadline, **arguments: Any) -> _Reply:
        """For requests that may be sent twice. Raises: StorageUnavailable."""
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                reply = self._send(method, path, deadline, **arguments)
            except StorageUnavailable:
                if attempt == READ_ATTEMPTS or deadline.expired:
                    raise
                pause = 0.0
            else:
                if reply.status not in _BUSY:
                    return reply
                pause = reply.retry_after
            if attempt < READ_ATTEMPTS:
                time.sleep(min(max(pause, backoff(attempt)), deadline.remaining))
        raise StorageUnavailable("The storage service is busy or failing.")

    def _send(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> _Reply:
        """One request, one answer. Raises StorageUnavailable where there is no complete answer in time."""
        from azure.core.exceptions import AzureError
        from azure.core.rest import HttpRequest

        remaining = deadline.remaining
        if remaining <= 0:
            raise StorageUnavailable("The storage service did not answer in time.")
        suffix = "?" + urlencode(query, safe="$", quote_via=quote) if query else ""
        request = HttpRequest(method, f"{self.url}/{path}{suffix}", content=body)
        request.headers.update({"x-ms-version": API_VERSION, "DataServiceVersion": "3.0", "Accept": _JSON})
        request.headers.update({"Prefer": "return-no-content"} if method == "POST" and path != "$batch" else {})
        request.headers.update({"Content-Type": content_type} if body is not None else {})
        request.headers.update(headers or {})
        try:
            with table_call(self.table, method, path) as call:
                # The generated client's documented entry to the SDK's signed pipeline: the table client lacks a door.
                response = self._client._client.send_request(
                    request,
                    stream=True,  # or a policy would parse the JSON a second time
                    connection_timeout=min(CONNECT_TIMEOUT.total_seconds(), remaining),
                    read_timeout=min(READ_TIMEOUT.total_seconds(), remaining),
                )
                content = response.read()
                call.answered(response.status_code)
        except AzureError as error:
            raise StorageUnavailable(f"The storage service did not answer ({type(error).__name__}).") from error
        self._note_time(response.headers.get("Date"))
        return _Reply(response.status_code, response.headers, content)

    def _note_time(self, date: str | None) -> None:
        if date:
            theirs = parsedate_to_datetime(date).astimezone(UTC) + timedelta(seconds=0.5)  # cut to whole seconds
            self._skew = self._clock() - theirs


def backoff(attempt: int) -> float:
    """Seconds to wait after the nth failed attempt: 25 ms doubling to 1.6 s, with jitter."""
    return min(0.025 * 2.0**attempt, 1.6) * random.uniform(0.5, 1.0)


def _options(url: str) -> dict[str, Any]:
    """`url`: any of the account, to find its proxy."""
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from requests.adapters import HTTPAdapter
    from requests.utils import get_environ_proxies

    session = requests.Session()
    # What the environment says of proxies and trust is asked once: for every request it takes a fifth of its time.
    session.trust_env = False
    session.proxies.update(get_environ_proxies(url))
    trust = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=2 * PARALLEL_READS))
    return {
        "api_version": API_VERSION,
        "transport": RequestsTransport(session=session, session_owner=False, connection_verify=trust),
        "retry_total": 0,  # a commit that was applied and answered by a 500 must not be sent again behind our back
        "logging_enable": False,
    }


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _continuation(headers: Mapping[str, str]) -> dict[str, str]:
    names = ("NextPartitionKey", "NextRowKey")
    values = {name: headers.get(f"x-ms-continuation-{name}") for name in names}
    return {name: value for name, value in values.items() if value}


def _refused(reply: _Reply) -> StorageRefused:
    code = _ERROR_CODE.search(reply.text)
    return StorageRefused(f"The storage service refused the request: {reply.status}{f' {code[1]}' if code else ''}.")
