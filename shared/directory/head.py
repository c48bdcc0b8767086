"""The row `head`: how far the log has come, the next local ids, and who has the turn to commit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from shared.directory.errors import MalformedRow
from shared.directory.log import LogRow, genesis_hash
from shared.directory.records.base import Row, format_time, parse_time
from shared.directory.rows import Entity, decode_row

HEAD_KEY = "head"
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
"""The time of the head of an empty ledger."""


@dataclass(frozen=True, slots=True)
class Head:
    """The state of the ledger.

    Attributes:
        seq: of the last log row; 0: the ledger is empty.
        time: of the last commit.
        last_hash: of the last log row.
        next_ids: the next id of each sequence; 1 where it is not named.
    """

    seq: int
    time: datetime
    last_hash: str
    next_ids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Turn:
    """An advisory claim to commit next. `until` is at most 2 s after it was taken."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True)
class StoredHead:
    """The head as it stands in the table; `etag` None: there is none yet."""

    head: Head
    etag: str | None
    turn: Turn | None = None

    def after(self, log: LogRow) -> Head:
        """The head that goes with the next log row."""
        return replace(self.head, seq=log.seq, time=log.time, last_hash=log.hash, next_ids=log.next_ids)


def empty_head(tenant_id: str) -> StoredHead:
    return StoredHead(Head(0, BEGINNING, genesis_hash(tenant_id), {}), None)


def encode_head(head: Head, turn: Turn | None = None) -> Row:
    row: dict[str, str | int] = {
        "seq": head.seq,
        "time": format_time(head.time),
        "last_hash": head.last_hash,
        "next_ids": json.dumps(dict(head.next_ids), sort_keys=True, separators=(",", ":")),
    }
    return row if turn is None else {**row, **encode_turn(turn)}


def encode_turn(turn: Turn) -> Row:
    return {"turn_owner": turn.owner, "turn_until": format_time(turn.until)}


def decode_head(entity: Entity) -> StoredHead:
    """Raises: MalformedRow."""
    row = decode_row(entity)
    try:
        head = decode_head_fields(row)
        turn = Turn(str(row["turn_owner"]), parse_time(str(row["turn_until"]))) if "turn_owner" in row else None
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise MalformedRow(HEAD_KEY, f"not a head: {error}") from error
    return StoredHead(head, str(entity["odata.etag"]), turn)


def decode_head_fields(row: Row) -> Head:
    """The inverse of `encode_head` without a turn. Raises KeyError, ValueError, TypeError or AttributeError."""
    return Head(
        seq=int(row["seq"]),
        time=parse_time(str(row["time"])),
        last_hash=str(row["last_hash"]),
        next_ids={str(name): int(value) for name, value in json.loads(str(row["next_ids"])).items()},
    )
