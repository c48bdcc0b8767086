"""One tenant's rows: the table store, bound to a partition and speaking rows instead of entities."""

from collections.abc import Iterator, Sequence

from shared.context import Deadline
from shared.directory.head import HEAD_KEY
from shared.directory.records.base import Row
from shared.directory.rows import Entity, check_key, decode_row
from shared.directory.tables import TableStore

ID_RANGE = 1000
"""Ids a parallel scan reads at once: one page of the service, as ids are dense."""
ID_DIGITS = 10
NEAR, SHORTEST_RUN = 20, 8
"""Ids at most so far apart, and at least so many of them, are read as a range."""


class Partition:
    """The rows of one partition key. Raises StorageUnavailable, StorageRefused and MalformedRow all over."""

    def __init__(self, tables: TableStore, name: str, head_key: str = HEAD_KEY) -> None:
        """`head_key`: the row that is the ledger's head; another than the usual one while a restore is under way."""
        self.tables = tables
        self.name = name
        self.head_key = head_key

    def get(self, key: str, deadline: Deadline | None = None) -> Row | None:
        check_key(key)
        entity = self.tables.get(self.name, key, deadline)
        return None if entity is None else decode_row(entity)

    def get_many(self, keys: Sequence[str], deadline: Deadline | None = None) -> dict[str, Row]:
        """Parallel point reads; absent rows are left out."""
        return {key: decode_row(entity) for key, entity in self.get_entities(keys, deadline).items()}

    def get_entities(self, keys: Sequence[str], deadline: Deadline | None = None) -> dict[str, Entity]:
        """As `get_many`, but a row that this app did not write raises nothing yet.

        Rows of near ids are read by range: a point read costs as much time as some fifty rows of a query.
        """
        for key in keys:
            check_key(key)
        alone, ranges = _by_range(keys)
        found = self.tables.get_many(self.name, alone, deadline) if alone else {}
        wanted = frozenset(keys) if ranges else frozenset[str]()
        for entity in self.tables.query_ranges(self.name, ranges):
            if (key := str(entity["RowKey"])) in wanted:
                found[key] = entity
        return found

    def scan(self, start: str, end: str, deadline: Deadline | None = None) -> Iterator[tuple[str, Row]]:
        """(key, row) with start ≤ key < end, ordered."""
        return _rows(self.tables.query(self.name, start, end, deadline))

    def scan_ids(self, kind: str, last_id: int, only: Sequence[str] = ()) -> Iterator[tuple[str, Row]]:
        """All rows of a kind whose keys are `kind|<10 digits>` with ids up to `last_id`, read in parallel, ordered.

        `only`: read these properties (short ones, which are never chunked) and no others.
        """
        starts = range(0, last_id + 1, ID_RANGE)
        ranges = [(f"{kind}|{start:010d}", f"{kind}|{start + ID_RANGE:010d}") for start in starts]
        return _rows(self.tables.query_ranges(self.name, ranges, only=only))


def prefix_end(prefix: str) -> str:
    """The first key after all that start with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _by_range(keys: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The keys to be read one by one, and ranges [start, end) that hold the others: those of many near ids."""
    alone, ranges = list[str](), list[tuple[str, str]]()
    run: list[str] = []
    for key in sorted(keys):
        if run and not _are_near(run[-1], key):
            _end_run(run, alone, ranges)
            run = []
        run.append(key)
    _end_run(run, alone, ranges)
    return alone, ranges


def _are_near(key: str, following: str) -> bool:
    kind, _, number = key.rpartition("|")
    other_kind, _, other_number = following.rpartition("|")
    if kind != other_kind or len(number) != ID_DIGITS or not (number.isdigit() and other_number.isdigit()):
        return False
    return int(other_number) - int(number) <= NEAR


def _end_run(run: list[str], alone: list[str], ranges: list[tuple[str, str]]) -> None:
    if len(run) < SHORTEST_RUN:
        alone += run
    else:
        ranges.append((run[0], f"{run[-1]}!"))  # the least key beyond the last: `!` is the first character of all


def _rows(entities: Iterator[Entity]) -> Iterator[tuple[str, Row]]:
    for entity in entities:
        yield str(entity["RowKey"]), decode_row(entity)
