"""What a decision sees and says: rows as of one head, and the changes it wants.

Layers, from below: the snapshot (rows in the table as of the head), what earlier requests of the same commit staged,
what this request staged. Only the last is thrown away when a request is refused.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from shared.context import Deadline
from shared.directory.errors import MalformedRow
from shared.directory.log import LogChange, changed
from shared.directory.partition import Partition, prefix_end
from shared.directory.records.base import Record, Row
from shared.directory.rows import Entity, check_key, decode_row

R = TypeVar("R", bound=Record)


class Snapshot:
    """The table's rows as of a head, each read once, when it is first asked for.

    Rows are read after the head. Were one of them changed in between, so would the head's ETag be, and the commit that
    asserts it fails: what was decided on a mixture of two states is never committed.
    """

    def __init__(
        self,
        partition: Partition,
        next_ids: Mapping[str, int],
        deadline: Deadline,
        known: Mapping[str, Row | None] | None = None,
    ) -> None:
        """`known`: rows that are known to stand so under this very head; None: known to be absent."""
        self.next_ids = next_ids
        self._partition = partition
        self._deadline = deadline
        self._rows: dict[str, Row | None] = dict(known or {})
        self._entities: dict[str, Entity] = {}
        """Read but not decoded: a malformed row concerns only the request that looks at it."""
        self._asked: set[str] = set(self._rows)
        self._scanned: set[str] = set()

    def load(self, keys: Iterable[str]) -> None:
        """Reads the rows not yet known, in parallel."""
        missing = [key for key in dict.fromkeys(keys) if not self.knows(key)]
        if missing:
            self._entities.update(self._partition.get_entities(missing, self._deadline))
            self._rows.update({key: None for key in missing if key not in self._entities})
            self._asked.update(missing)

    def knows(self, key: str) -> bool:
        return key in self._rows or key in self._entities or any(map(key.startswith, self._scanned))

    def row(self, key: str) -> Row | None:
        self.load((key,))
        if key in self._entities:
            self._rows[key] = decode_row(self._entities[key])
            del self._entities[key]
        return self._rows.get(key)

    def scan(self, prefix: str) -> dict[str, Row]:
        if prefix not in self._scanned:
            self._rows.update(self._partition.scan(prefix, prefix_end(prefix), self._deadline))
            self._scanned.add(prefix)
        return {key: row for key, row in self._rows.items() if row is not None and key.startswith(prefix)}

    def after(self, changes: Mapping[str, Row | None]) -> dict[str, Row | None]:
        """The rows read one by one, as they stand once the changes are committed under this head.

        The commit has asserted that nobody changed anything since they were read.
        """
        rows: dict[str, Row | None] = {}
        for key in self._asked - changes.keys():
            with suppress(MalformedRow):
                rows[key] = self.row(key)
        return rows | dict(changes)

    @property
    def asked(self) -> frozenset[str]:
        """The keys read one by one, for the next attempt to read at once."""
        return frozenset(self._asked)


@dataclass
class Staged:
    """Changes on top of a snapshot: the row by key (None: deleted), what the log says of them, and the next ids."""

    rows: dict[str, Row | None] = field(default_factory=dict)
    changes: dict[str, LogChange] = field(default_factory=dict)
    next_ids: dict[str, int] = field(default_factory=dict)

    def merge(self, later: "Staged") -> None:
        self.rows.update(later.rows)
        self.changes.update(later.changes)
        self.next_ids.update(later.next_ids)


class Transaction:
    """The ledger as one request sees it, with its own changes. Not to be kept beyond the decision.

    Attributes:
        time: the time of the commit: the clock, or the head's time if that is later.
    """

    def __init__(self, snapshot: Snapshot, earlier: Staged, time: datetime) -> None:
        self.time = time
        self._snapshot = snapshot
        self._earlier = earlier
        self._own = Staged()

    def get(self, kind: type[R], key: str) -> R | None:
        _check_kind(kind, key)
        row = self._row(key)
        return None if row is None else kind.from_row(row)

    def scan(self, kind: type[R], prefix: str) -> list[R]:
        """All records whose key starts with `prefix` (which starts with `KIND|`), ordered by key."""
        _check_kind(kind, prefix)
        rows: dict[str, Row | None] = dict(self._snapshot.scan(prefix))
        for staged in (self._earlier.rows, self._own.rows):
            rows.update({key: row for key, row in staged.items() if key.startswith(prefix)})
        return [kind.from_row(row) for _, row in sorted(rows.items()) if row is not None]

    def uncommitted(self, kind: type[R]) -> list[R]:
        """The records that earlier requests of the same commit wrote: no log row names them yet."""
        rows = (row for key, row in self._earlier.rows.items() if key.startswith(f"{kind.KIND}|"))
        return [kind.from_row(row) for row in rows if row is not None]

    def put(self, record: Record) -> None:
        """Inserts or replaces. A record equal to what is there is no change.

        A row that nobody read before is written as an insert: if it is there after all, the commit is decided again
        with the row at hand.
        """
        key = record.key
        _check_kind(type(record), key)
        row = record.to_row()
        if self._known(key):
            current = self._row(key)
            if current is not None and _same(current, row):
                return
        self._stage(key, row, {name: row[name] for name in record.REPLICATED if name in row})

    def delete(self, kind: type[Record], key: str) -> None:
        """Deletes the record if it is there."""
        _check_kind(kind, key)
        if self._row(key) is not None:
            self._stage(key, None, None)

    def note_absence(self, kind: type[Record], key: str) -> None:
        """Has the log name a record that was deleted before, although nothing of it changes."""
        _check_kind(kind, key)
        if self._row(key) is not None:
            raise ValueError(f"{key!r} is there")
        self._own.changes[key] = changed(key, None, None)

    def knows(self, key: str) -> bool:
        """Whether `get` would answer without reading the table: the row was read or staged before."""
        return self._known(key)

    def next_id(self, sequence: str) -> int:
        """The next local id: 1, 2, 3, ...; one that is not committed is given again."""
        value = self._own.next_ids.get(sequence) or self._earlier.next_ids.get(sequence)
        value = value or self._snapshot.next_ids.get(sequence, 1)
        self._own.next_ids[sequence] = value + 1
        return value

    @property
    def staged(self) -> Staged:
        return self._own

    def _row(self, key: str) -> Row | None:
        for rows in (self._own.rows, self._earlier.rows):
            if key in rows:
                return rows[key]
        return self._snapshot.row(key)

    def _known(self, key: str) -> bool:
        return key in self._own.rows or key in self._earlier.rows or self._snapshot.knows(key)

    def _stage(self, key: str, row: Row | None, data: Row | None) -> None:
        self._own.rows[key] = row
        self._own.changes[key] = changed(key, row, data)


def _check_kind(kind: type[Record], key: str) -> None:
    check_key(key)
    if not key.startswith(f"{kind.KIND}|"):
        raise ValueError(f"{key!r} is not a key of {kind.__name__}")


def _same(one: Row, other: Row) -> bool:
    return one == other and all(type(value) is type(other[name]) for name, value in one.items())
