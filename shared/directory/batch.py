"""The wire format of an entity group transaction: what is sent, and what the answer says.

The bytes are built once, so that a transaction whose outcome is unknown is sent again exactly as it was, and so that
its size is known before it is sent.
https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

MAX_OPERATIONS = 100
MAX_BODY_BYTES = 3 * 1024 * 1024
"""The service takes 4 MiB; the rest is a margin."""

_PART = re.compile(rb"HTTP/1\.1 (\d{3})[^\r\n]*\r?\n(.*?)(?=\r?\n--\w+response_)", re.DOTALL)
"""A part counts only with the boundary after it: an answer may be cut off anywhere."""
_ETAG = re.compile(rb"^ETag:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
_PART_OVERHEAD = 500
"""Bytes of one part beside its path and JSON: boundaries, headers, request line, host."""


class Method(StrEnum):
    INSERT = "POST"
    """Fails (409) where the entity is there already."""
    REPLACE = "PUT"
    """Fails (404, 412) where the entity is not there or its ETag is another."""
    DELETE = "DELETE"
    """Fails (404, 412) where the entity is not there or its ETag is another."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One entity of a transaction. `properties` are the wire's, without the keys."""

    method: Method
    key: str
    properties: Mapping[str, Any]
    etag: str = "*"


@dataclass(frozen=True, slots=True)
class Batch:
    """A transaction ready to be sent, any number of times."""

    content_type: str
    body: bytes
    operations: int


@dataclass(frozen=True, slots=True)
class BatchReply:
    """What the service said: `etags` by operation if all went well, else the status of the operation that failed."""

    status: int
    etags: tuple[str | None, ...]
    message: str


def entity_path(table: str, partition: str, key: str) -> str:
    """The path of an entity, percent-encoded."""
    return f"{table}(PartitionKey='{_quoted(partition)}',RowKey='{_quoted(key)}')"


def operation_size(partition: str, key: str, properties: Mapping[str, Any]) -> int:
    """An upper bound of the bytes that the operation adds to the body."""
    body = len(json.dumps(properties, separators=(",", ":")))
    return body + 2 * len(quote(key)) + 2 * len(partition) + _PART_OVERHEAD


def build_batch(url: str, table: str, partition: str, operations: Sequence[Operation], batch_id: str) -> Batch:
    """`url` is the account's endpoint; `batch_id` (a GUID) only has to differ from every text in the entities."""
    boundary = f"changeset_{batch_id}"
    parts = [_part(f"{url}/{table}", partition, operation, number) for number, operation in enumerate(operations)]
    changes = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
    body = (
        f"--batch_{batch_id}\r\n"
        f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n"
        f"{changes}--{boundary}--\r\n\r\n--batch_{batch_id}--\r\n"
    )
    return Batch(f"multipart/mixed; boundary=batch_{batch_id}", body.encode("ascii"), len(operations))


def parse_reply(body: bytes, operations: int) -> BatchReply | None:
    """None where the answer is cut off or not a batch answer: the outcome is unknown."""
    parts = _PART.findall(body)
    for status, rest in parts:
        if not status.startswith(b"2"):
            return BatchReply(int(status), (), rest.decode("utf-8", "replace"))
    if len(parts) != operations:
        return None
    found = (_ETAG.search(rest) for _, rest in parts)
    return BatchReply(202, tuple(etag[1].decode("ascii") if etag else None for etag in found), "")


def _part(collection: str, partition: str, operation: Operation, number: int) -> str:
    insert = operation.method is Method.INSERT
    target = collection if insert else entity_path(collection, partition, operation.key)
    condition = "Prefer: return-no-content" if insert else f"If-Match: {operation.etag}"
    head = (
        "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: {number}\r\n\r\n"
        f"{operation.method} {target} HTTP/1.1\r\n"
        "Accept: application/json;odata=minimalmetadata\r\nDataServiceVersion: 3.0\r\n"
        f"{condition}\r\n"
    )
    if operation.method is Method.DELETE:
        return f"{head}\r\n"
    entity = {"PartitionKey": partition, "RowKey": operation.key, **operation.properties}
    # ASCII only: every character outside it is escaped, so that no line separator or encoding can break the parts.
    return f"{head}Content-Type: application/json\r\n\r\n{json.dumps(entity, separators=(',', ':'))}"


def _quoted(key: str) -> str:
    return quote(key.replace("'", "''"), safe="")
