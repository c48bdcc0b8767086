"""What one transaction will carry: requests decided one after another until it is full."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.directory.batch import MAX_BODY_BYTES, MAX_OPERATIONS, Method, Operation, operation_size
from shared.directory.commit_queue import Pending
from shared.directory.errors import ChangeTooLarge
from shared.directory.head import HEAD_KEY, StoredHead, encode_head
from shared.directory.log import LogOperation, LogRow, encode_log_row, encode_operation, log_row
from shared.directory.records.base import Row
from shared.directory.rows import (
    MAX_JSON_BYTES,
    MAX_PROPERTIES,
    MAX_ROW_BYTES,
    encode_row,
    property_count,
    stored_size,
    value_size,
)
from shared.directory.transaction import Snapshot, Staged, Transaction

MAX_ROWS = MAX_OPERATIONS - 2  # beside them the transaction carries the log row and the head
_HEAD_AND_LOG_BYTES = 8 * 1024
"""Room in the body for the head and for the log row without its operations."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a request decided: a value, or an error. It only holds if the plan's head still stands."""

    pending: Pending
    value: Any = None
    error: Exception | None = None
    written: frozenset[str] = frozenset()
    """The keys of the rows it changes."""


@dataclass(slots=True)
class Plan:
    """Decides requests on the state that those before them left, as long as they fit into one transaction."""

    stored: StoredHead
    snapshot: Snapshot
    time: datetime
    partition: str
    decisions: list[Decision] = field(default_factory=list)
    _staged: Staged = field(default_factory=Staged)
    _properties: dict[str, dict[str, Any]] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)
    _log: list[LogOperation] = field(default_factory=list)
    _log_stored: int = 0
    _log_wire: int = 0

    def rows_after(self) -> dict[str, Row | None]:
        """The rows that are known for certain once the plan is committed."""
        return self.snapshot.after(self._staged.rows)

    def changes_of(self, kind: str) -> Iterator[tuple[Row | None, Row | None]]:
        """The rows of a kind that it changes: before (None: not there), and after (None: deleted)."""
        for key, row in self._staged.rows.items():
            if key.startswith(f"{kind}|"):
                yield self.snapshot.row(key) if self.snapshot.knows(key) else None, row

    @property
    def changes_anything(self) -> bool:
        return bool(self._log)

    def add(self, pending: Pending) -> bool:
        """Decides the request. False: it does not fit any more, and nothing of it was taken."""
        transaction = Transaction(self.snapshot, self._staged, self.time)
        asked_before = self.snapshot.asked
        try:
            value = pending.request.decide(transaction)
            own = transaction.staged
            properties = {key: _encoded(key, row) for key, row in own.rows.items() if row is not None}
        except Exception as error:  # noqa: BLE001  (a refusal or a defect: it concerns this request alone)
            self.decisions.append(Decision(pending, error=error))
            return True
        finally:
            pending.wanted |= self.snapshot.asked - asked_before
        if own.changes and not self._take(pending, own, properties):
            if self._log:
                return False
            refusal = ChangeTooLarge(f"{pending.request.action} changes more than one transaction can carry.")
            self.decisions.append(Decision(pending, error=refusal))
            return True
        self.decisions.append(Decision(pending, value, written=frozenset(own.rows)))
        return True

    def log_row(self, commit_id: str) -> LogRow:
        head = self.stored.head
        next_ids = {**head.next_ids, **self._staged.next_ids}
        return log_row(head.seq + 1, self.time, commit_id, head.last_hash, next_ids, tuple(self._log))

    def operations(self, log: LogRow, head_key: str = HEAD_KEY) -> list[Operation]:
        """The head first, so that a lost race is noticed first."""
        head = encode_row(encode_head(self.stored.after(log)))
        if self.stored.etag is None:
            operations = [Operation(Method.INSERT, head_key, head)]
        else:
            operations = [Operation(Method.REPLACE, head_key, head, self.stored.etag)]
        operations.append(Operation(Method.INSERT, log.key, encode_row(encode_log_row(log))))
        for key, row in self._staged.rows.items():
            was_there = self.snapshot.knows(key) and self.snapshot.row(key) is not None
            if row is not None:
                method = Method.REPLACE if was_there else Method.INSERT
                operations.append(Operation(method, key, self._properties[key]))
            elif was_there:
                operations.append(Operation(Method.DELETE, key, {}))
        return operations

    def _take(self, pending: Pending, own: Staged, properties: dict[str, dict[str, Any]]) -> bool:
        """Adds the changes if they fit beside those taken before; two changes to one row are one operation."""
        request = pending.request
        operation = LogOperation(
            request.action, request.context.actor, request.context.request_id, tuple(own.changes.values())
        )
        text = json.dumps(encode_operation(operation), ensure_ascii=False, separators=(",", ":"))
        log_stored = self._log_stored + value_size(text)
        log_wire = self._log_wire + len(json.dumps(text))
        sizes = self._sizes | {key: operation_size(self.partition, key, properties.get(key, {})) for key in own.rows}
        if (
            len(sizes) > MAX_ROWS
            or log_stored > MAX_ROW_BYTES - _HEAD_AND_LOG_BYTES
            or log_wire > MAX_JSON_BYTES - _HEAD_AND_LOG_BYTES
            or log_wire + sum(sizes.values()) > MAX_BODY_BYTES - _HEAD_AND_LOG_BYTES
        ):
            return False
        self._log_stored, self._log_wire, self._sizes = log_stored, log_wire, sizes
        self._log.append(operation)
        self._properties |= properties
        self._staged.merge(own)
        return True


def _encoded(key: str, row: Row) -> dict[str, Any]:
    properties = encode_row(row)
    if (
        stored_size(key, row) > MAX_ROW_BYTES
        or property_count(row) > MAX_PROPERTIES
        or operation_size("", key, properties) > MAX_JSON_BYTES
    ):
        raise ChangeTooLarge(f"{key} is larger than a table row can be.")
    return properties
