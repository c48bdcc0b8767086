"""What fits into one transaction, on rows in memory: packing is arithmetic, the table is not needed for it."""

import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.directory.batch import MAX_BODY_BYTES, MAX_OPERATIONS, Method, build_batch
from shared.directory.commit_queue import Pending, Request
from shared.directory.errors import ChangeTooLarge, UnstorableValue
from shared.directory.head import StoredHead, empty_head
from shared.directory.ledger import Transaction
from shared.directory.log import LogRow, encode_log_row
from shared.directory.partition import Partition
from shared.directory.plan import Plan
from shared.directory.records.base import Row
from shared.directory.rows import MAX_ROW_BYTES, Entity, decode_row, encode_row, stored_size
from shared.directory.transaction import Snapshot
from shared.errors import AppError
from tests.support.ledger_story import Counter, Note, context, count_up, counter_key, note_key, soon, write_note

NOON = datetime(2026, 2, 28, 12, tzinfo=UTC)
TENANT = str(uuid.UUID(int=1))


class RowsInMemory:
    """What a snapshot needs of a partition."""

    def __init__(self, rows: dict[str, Row]) -> None:
        self.rows = rows

    def get_entities(self, keys: Sequence[str], deadline: object = None) -> dict[str, Entity]:
        return {key: {"RowKey": key, **encode_row(self.rows[key])} for key in keys if key in self.rows}

    def scan(self, start: str, end: str, deadline: object = None) -> Iterator[tuple[str, Row]]:
        return iter(sorted((key, row) for key, row in self.rows.items() if start <= key < end))


def a_plan(rows: dict[str, Row], stored: StoredHead | None = None) -> Plan:
    stored = stored or empty_head(TENANT)
    snapshot = Snapshot(cast(Partition, RowsInMemory(rows)), stored.head.next_ids, soon())
    return Plan(stored, snapshot, NOON, TENANT)


def pending(request: Request[Any]) -> Pending:
    return Pending(request, soon(), {key for _, key in request.reads})


def writing(*notes: Note) -> Request[None]:
    def decide(tx: Transaction) -> None:
        for note in notes:
            tx.get(Note, note.key)
            tx.put(note)

    return Request("notes.written", context(), decide)


def apply(rows: dict[str, Row], plan: Plan, log: LogRow) -> None:
    """What the service would do."""
    for operation in plan.operations(log)[2:]:
        assert (operation.key in rows) == (operation.method is not Method.INSERT)
        if operation.method is Method.DELETE:
            del rows[operation.key]
        else:
            rows[operation.key] = decode_row({"RowKey": operation.key, **operation.properties})


def commit_all(rows: dict[str, Row], waiting: list[Pending]) -> list[LogRow]:
    """Packs the requests into as many transactions as it takes; every one keeps the limits."""
    stored, logs = empty_head(TENANT), list[LogRow]()
    while waiting:
        plan = a_plan(rows, stored)
        taken = 0
        while taken < len(waiting) and plan.add(waiting[taken]):
            taken += 1
        assert taken > 0
        waiting = waiting[taken:]
        if plan.changes_anything:
            log = plan.log_row(uuid.uuid4().hex)
            operations = plan.operations(log)
            assert len(operations) <= MAX_OPERATIONS
            assert len({operation.key for operation in operations}) == len(operations)
            batch = build_batch("https://a.table.core.windows.net", "directory", TENANT, operations, log.commit_id)
            assert len(batch.body) <= MAX_BODY_BYTES
            assert stored_size(log.key, encode_log_row(log)) <= MAX_ROW_BYTES
            assert max(len(json.dumps(operation.properties)) for operation in operations) < 1024 * 1024
            apply(rows, plan, log)
            stored = StoredHead(plan.stored.after(log), "etag")
            logs.append(log)
    return logs


NOTES = st.builds(
    Note,
    id=st.integers(1, 150),
    text=st.one_of(
        st.sampled_from(["", "x", "漢" * 20_000, "é" * 200_000, "\u2028" * 70_000]), st.text("ab", max_size=3)
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(NOTES, max_size=60).map(lambda notes: writing(*notes)), max_size=12))
def test_packed_transactions_keep_the_limits_and_the_order(requests: list[Request[None]]) -> None:
    packed: dict[str, Row] = {}
    waiting = [pending(request) for request in requests]
    logs = commit_all(packed, waiting)

    one_by_one: dict[str, Row] = {}
    for request in requests:
        commit_all(one_by_one, [pending(request)])

    assert packed == one_by_one
    assert len(logs) <= len(requests)
    assert [log.seq for log in logs] == list(range(1, len(logs) + 1))
    logged = [operation.request_id for log in logs for operation in log.operations]
    assert logged == [request.context.request_id for request in requests if request.context.request_id in logged]


def test_ninety_eight_rows_share_a_transaction_and_the_next_waits() -> None:
    plan = a_plan({})

    assert all(plan.add(pending(write_note("x"))) for _ in range(98))
    assert not plan.add(pending(write_note("x")))
    assert len(plan.operations(plan.log_row("c"))) == 100
    assert len(plan.decisions) == 98


def test_changes_of_one_row_merge_but_the_log_tells_each() -> None:
    plan = a_plan({})

    for _ in range(300):
        assert plan.add(pending(count_up("a")))

    log = plan.log_row("c")
    (operation,) = plan.operations(log)[2:]
    assert operation.properties["value"] == "300"
    assert len(log.operations) == 300
    assert len({step.changes[0].sha256 for step in log.operations}) == 300


def test_a_refused_request_leaves_nothing_and_takes_no_id() -> None:
    def refuse(tx: Transaction) -> None:
        tx.put(Note(id=tx.next_id("note"), text="never"))
        raise AppError("no")

    plan = a_plan({})
    for request in (write_note("one"), Request("x", context(), refuse), write_note("two")):
        assert plan.add(pending(request))

    assert [(decision.value, str(decision.error)) for decision in plan.decisions] == [
        (1, "None"),
        (None, "no"),
        (2, "None"),
    ]
    assert [operation.key for operation in plan.operations(plan.log_row("c"))[2:]] == [note_key(1), note_key(2)]


def test_later_requests_see_what_earlier_ones_staged() -> None:
    plan = a_plan({counter_key("a"): {"name": "a", "value": 41}})

    plan.add(pending(count_up("a")))
    plan.add(pending(Request("look", context(), lambda tx: tx.get(Counter, counter_key("a")))))
    plan.add(pending(Request("gone", context(), lambda tx: tx.delete(Counter, counter_key("a")))))
    plan.add(pending(Request("list", context(), lambda tx: tx.scan(Counter, "counter|"))))

    assert plan.decisions[1].value == Counter(name="a", value=42)
    assert plan.decisions[3].value == []
    assert [operation.method for operation in plan.operations(plan.log_row("c"))[2:]] == [Method.DELETE]


def test_what_comes_and_goes_within_a_transaction_is_not_written_at_all() -> None:
    plan = a_plan({})

    plan.add(pending(count_up("a")))
    plan.add(pending(Request("gone", context(), lambda tx: tx.delete(Counter, counter_key("a")))))

    log = plan.log_row("c")
    assert plan.operations(log)[2:] == []
    assert [operation.changes[0].sha256 is None for operation in log.operations] == [False, True]


def test_a_record_equal_to_what_is_there_is_no_change() -> None:
    note = Note(id=1, text="same")
    plan = a_plan({note.key: note.to_row()})

    plan.add(pending(writing(note)))

    assert not plan.changes_anything


def test_a_request_too_large_for_any_transaction_is_refused_alone() -> None:
    rows = [Note(id=number, text="x") for number in range(1, 100)]
    plan = a_plan({})

    assert plan.add(pending(writing(*rows)))
    assert plan.add(pending(write_note("small")))

    assert isinstance(plan.decisions[0].error, ChangeTooLarge)
    assert plan.decisions[1].value == 1


@pytest.mark.parametrize(
    ("text", "error"), [("x" * 500_000, ChangeTooLarge), ("x\0", UnstorableValue), ("\udfff", UnstorableValue)]
)
def test_a_record_that_no_row_can_hold_is_refused_alone(text: str, error: type[AppError]) -> None:
    plan = a_plan({})

    assert plan.add(pending(write_note(text)))
    assert plan.add(pending(write_note("small")))

    assert isinstance(plan.decisions[0].error, error)
    assert plan.decisions[1].value == 1


def test_a_key_of_another_kind_is_a_defect() -> None:
    plan = a_plan({})

    plan.add(pending(Request("x", context(), lambda tx: tx.get(Counter, note_key(1)))))

    assert isinstance(plan.decisions[0].error, ValueError)
