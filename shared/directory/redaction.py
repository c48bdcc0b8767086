"""Takes the data of purged records out of the log rows before their purge.

The chain covers data by their hash only, so it stays whole. An operation with the action PURGE has to name a record
first: that is how the audit tells a redaction from an alteration.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.directory.errors import MalformedRow, StateChanged
from shared.directory.log import PURGE, LogChange, LogRow, decode_log_row, encode_log_row, log_key
from shared.directory.partition import Partition
from shared.directory.records.certificate import Certificate
from shared.directory.records.user import user_key
from shared.directory.rows import decode_row, encode_row

ATTEMPTS = 20
"""At one log row, where purges of other users change it too."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Data of a record in the log: which row, which of its operations."""

    seq: int
    operation: int


@dataclass(frozen=True)
class Copies:
    """Where the log has data of a user and of the user's certificates, by the key of the record.

    Attributes:
        purged: copies from before a purge that names the record.
        others: no purge that came after them names the record.
        acted: in how many operations the user is the one who acted.
    """

    purged: Mapping[str, Sequence[Copy]]
    others: Mapping[str, Sequence[Copy]]
    acted: int


def find_copies(rows: Iterable[LogRow], user_id: int, object_id: str | None) -> Copies:
    """Looks through log rows, from the first one on. `object_id`: the user's, as an actor."""
    purged: defaultdict[str, list[Copy]] = defaultdict(list)
    others: defaultdict[str, list[Copy]] = defaultdict(list)
    acted = 0
    for row in rows:
        for number, operation in enumerate(row.operations):
            acted += operation.actor.id == object_id
            for change in operation.changes:
                if operation.action == PURGE:
                    purged[change.key] += others.pop(change.key, ())
                elif _is_about(change, user_id):
                    others[change.key].append(Copy(row.seq, number))
    return Copies({key: found for key, found in purged.items() if found}, dict(others), acted)


def redact(partition: Partition, copies: Mapping[str, Sequence[Copy]], progress: Callable[[int], None]) -> None:
    """Takes these copies out. Each row is replaced as a whole or not at all; what is gone already is passed over.

    `progress`: called with the number of copies just dealt with.
    Raises: StorageUnavailable, StorageRefused, MalformedRow, StateChanged.
    """
    by_row: defaultdict[int, set[tuple[int, str]]] = defaultdict(set)
    for key, found in copies.items():
        for copy in found:
            by_row[copy.seq].add((copy.operation, key))
    for seq, wanted in sorted(by_row.items()):
        _redact_row(partition, log_key(seq), wanted)
        progress(len(wanted))


def _redact_row(partition: Partition, key: str, wanted: set[tuple[int, str]]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        entity = partition.tables.get(partition.name, key)
        if entity is None:
            raise MalformedRow(key, "the log row is missing")
        before = decode_log_row(key, decode_row(entity))
        after = _without(before, wanted)
        if after == before:
            return
        try:
            partition.tables.put(partition.name, key, encode_row(encode_log_row(after)), str(entity["odata.etag"]))
        except StateChanged:  # by another purge, or by this very request, whose first answer was lost
            if attempt == ATTEMPTS:
                raise


def _without(row: LogRow, wanted: set[tuple[int, str]]) -> LogRow:
    operations = tuple(
        replace(
            operation,
            changes=tuple(
                replace(change, data=None) if (number, change.key) in wanted else change for change in operation.changes
            ),
        )
        for number, operation in enumerate(row.operations)
    )
    return replace(row, operations=operations)


def _is_about(change: LogChange, user_id: int) -> bool:
    """Whether it has data of this user; data of a certificate name their user."""
    if change.data is None:
        return False
    if change.key == user_key(user_id):
        return True
    return change.key.startswith(f"{Certificate.KIND}|") and change.data.get("user_id") == user_id
