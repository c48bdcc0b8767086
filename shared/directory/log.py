"""The log: what a commit wrote down, how it becomes a row, and the hash that chains each row to the one before.

The hash covers sequence number, time, commit id, next ids and, per change, key, SHA-256 of the record and SHA-256 of
the data repeated for the replica; not the data themselves, so that a purge can erase them without breaking the chain.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.context import Actor, ActorKind
from shared.directory.errors import MalformedRow
from shared.directory.records.base import Row, format_time, from_plain, parse_time, row_sha256, to_plain

LOG_PREFIX = "log|"

PURGE = "user.purged"
"""The action of operations that erase personal data. Of the records that one names, the data of all changes before it
are taken out of the log (`shared.directory.redaction`), and the audit does not miss them."""


@dataclass(frozen=True, slots=True)
class LogChange:
    """One record that an operation wrote or deleted.

    Attributes:
        sha256: of the record's canonical bytes; None: deleted.
        data: the record's replicated properties; None: the kind has none, the record was deleted, or they were purged.
        data_sha256: of the canonical bytes of `data` as they were written.
    """

    key: str
    sha256: str | None
    data: Row | None = None
    data_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class LogOperation:
    """What one request did, for whom."""

    action: str
    actor: Actor
    request_id: str
    changes: tuple[LogChange, ...]


@dataclass(frozen=True, slots=True)
class LogRow:
    """One commit: the operations of all requests that shared it."""

    seq: int
    time: datetime
    commit_id: str
    previous_hash: str
    hash: str
    next_ids: Mapping[str, int]
    """The next id of each sequence after this commit."""
    operations: tuple[LogOperation, ...]

    @property
    def key(self) -> str:
        return log_key(self.seq)

    def computed_hash(self) -> str:
        """What `hash` has to be."""
        return _hash(self.seq, self.time, self.commit_id, self.previous_hash, self.next_ids, self.operations)


def log_key(seq: int) -> str:
    return f"{LOG_PREFIX}{seq:016d}"


def genesis_hash(tenant_id: str) -> str:
    """What the first log row follows: bound to the tenant, so that no other tenant's log fits."""
    return hashlib.sha256(f"ledger of tenant {tenant_id}".encode()).hexdigest()


def changed(key: str, row: Row | None, data: Row | None) -> LogChange:
    """The log's note of a record that was written (or deleted: `row` None)."""
    if row is None:
        return LogChange(key, None)
    return LogChange(key, row_sha256(row), data or None, row_sha256(data) if data else None)


def log_row(
    seq: int,
    time: datetime,
    commit_id: str,
    previous_hash: str,
    next_ids: Mapping[str, int],
    operations: tuple[LogOperation, ...],
) -> LogRow:
    digest = _hash(seq, time, commit_id, previous_hash, next_ids, operations)
    return LogRow(seq, time, commit_id, previous_hash, digest, next_ids, operations)


def encode_log_row(log: LogRow) -> Row:
    return {
        "seq": log.seq,
        "time": format_time(log.time),
        "commit_id": log.commit_id,
        "previous_hash": log.previous_hash,
        "hash": log.hash,
        "next_ids": _json(dict(log.next_ids)),
        "operations": _json([encode_operation(operation) for operation in log.operations]),
    }


def decode_log_row(key: str, row: Row) -> LogRow:
    """Raises MalformedRow where the row is not a log row of this app; the hash is not checked here."""
    try:
        if set(row) != {"seq", "time", "commit_id", "previous_hash", "hash", "next_ids", "operations"}:
            raise ValueError(f"it has the properties {', '.join(sorted(row))}")
        log = LogRow(
            seq=int(row["seq"]),
            time=parse_time(str(row["time"])),
            commit_id=str(row["commit_id"]),
            previous_hash=str(row["previous_hash"]),
            hash=str(row["hash"]),
            next_ids={str(name): int(value) for name, value in json.loads(str(row["next_ids"])).items()},
            operations=tuple(_decode_operation(operation) for operation in json.loads(str(row["operations"]))),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise MalformedRow(key, f"not a log row: {error}") from error
    if log.key != key:
        raise MalformedRow(key, f"it says that it is log row {log.seq}")
    return log


def encode_operation(operation: LogOperation) -> dict[str, Any]:
    """As JSON. Who (`actor`) and what for each record; absent members are None."""
    return {
        "action": operation.action,
        "actor": _plain_actor(operation.actor),
        "request_id": operation.request_id,
        "changes": [_encode_change(change) for change in operation.changes],
    }


def _encode_change(change: LogChange) -> dict[str, Any]:
    plain: dict[str, Any] = {"key": change.key, "sha256": change.sha256}
    if change.data_sha256 is not None:
        plain["data_sha256"] = change.data_sha256
    if change.data is not None:
        plain["data"] = {name: to_plain(value) for name, value in change.data.items()}
    return plain


def _decode_operation(plain: dict[str, Any]) -> LogOperation:
    actor = plain["actor"]
    return LogOperation(
        action=plain["action"],
        actor=Actor(ActorKind(actor["kind"]), actor["id"], actor["name"]),
        request_id=plain["request_id"],
        changes=tuple(
            LogChange(
                key=change["key"],
                sha256=change["sha256"],
                data={name: from_plain(value) for name, value in change["data"].items()} if "data" in change else None,
                data_sha256=change.get("data_sha256"),
            )
            for change in plain["changes"]
        ),
    )


def _plain_actor(actor: Actor) -> dict[str, str]:
    return {"kind": str(actor.kind), "id": actor.id, "name": actor.name}


def _hash(
    seq: int,
    time: datetime,
    commit_id: str,
    previous_hash: str,
    next_ids: Mapping[str, int],
    operations: tuple[LogOperation, ...],
) -> str:
    covered = {
        "seq": seq,
        "time": format_time(time),
        "commit_id": commit_id,
        "previous_hash": previous_hash,
        "next_ids": dict(next_ids),
        "operations": [
            {
                "action": operation.action,
                "actor": _plain_actor(operation.actor),
                "request_id": operation.request_id,
                "changes": [[change.key, change.sha256, change.data_sha256] for change in operation.changes],
            }
            for operation in operations
        ],
    }
    text = json.dumps(covered, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _json(plain: object) -> str:
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
