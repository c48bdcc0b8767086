"""Log rows: what the hash chain covers and what may be erased."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.context import Actor, ActorKind
from shared.directory.errors import MalformedRow
from shared.directory.log import (
    LogOperation,
    LogRow,
    changed,
    decode_log_row,
    encode_log_row,
    genesis_hash,
    log_key,
    log_row,
)
from shared.directory.records.base import Row

ADA = Actor(ActorKind.USER, "6f5e", "Ada Lovelace")
NOON = datetime(2026, 2, 28, 12, tzinfo=UTC)
RECORD: Row = {"id": 1, "name": "Ада 😀", "photo": b"\x00\xff", "active": True}


def a_log_row() -> LogRow:
    changes = (
        changed("user|0000000001", RECORD, RECORD),
        changed("oid|x", {"user_id": 1}, None),
        changed("a|1", None, None),
    )
    operations = (LogOperation("user.synced", ADA, "request-1", changes),)
    return log_row(7, NOON, "c0ffee", genesis_hash("tenant"), {"user": 2}, operations)


def test_a_log_row_comes_back_as_it_went() -> None:
    log = a_log_row()

    assert decode_log_row(log.key, encode_log_row(log)) == log
    assert log.computed_hash() == log.hash


def test_erasing_the_data_leaves_the_hash_as_it_is() -> None:
    log = a_log_row()
    operation = log.operations[0]
    purged = replace(operation, changes=tuple(replace(change, data=None) for change in operation.changes))

    assert replace(log, operations=(purged,)).computed_hash() == log.hash


@pytest.mark.parametrize(
    "altered",
    [
        {"seq": 8},
        {"time": NOON + timedelta(microseconds=1)},
        {"commit_id": "decaf"},
        {"previous_hash": genesis_hash("another tenant")},
        {"next_ids": {"user": 3}},
        {"operations": ()},
    ],
    ids=lambda altered: next(iter(altered)),
)
def test_the_hash_covers_every_part_of_the_row(altered: dict[str, object]) -> None:
    log = a_log_row()

    assert replace(log, **altered).computed_hash() != log.hash  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "altered",
    [
        {"action": "user.deleted"},
        {"actor": replace(ADA, id="another")},
        {"actor": replace(ADA, name="Another")},
        {"request_id": "request-2"},
        {"changes": (changed("user|0000000001", {**RECORD, "id": 2}, RECORD),)},
        {"changes": (changed("user|0000000001", RECORD, {**RECORD, "id": 2}),)},
    ],
)
def test_the_hash_covers_every_part_of_an_operation(altered: dict[str, object]) -> None:
    log = a_log_row()
    operations = (replace(log.operations[0], **altered),)  # type: ignore[arg-type]

    assert replace(log, operations=operations).computed_hash() != log.hash


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("operations", "[{}]"),
        ("operations", "nonsense"),
        ("operations", '[{"action":"a","actor":{"kind":"alien","id":"","name":""},"request_id":"","changes":[]}]'),
        ("next_ids", "[]"),
        ("time", "yesterday"),
        ("seq", 8),
        ("foreign", "property"),
    ],
)
def test_a_row_that_is_no_log_row_is_named(name: str, value: str | int) -> None:
    row = {**encode_log_row(a_log_row()), name: value}

    with pytest.raises(MalformedRow) as caught:
        decode_log_row(log_key(7), row)
    assert caught.value.key == "log|0000000000000007"


def test_no_other_tenants_log_can_begin_here() -> None:
    assert genesis_hash("one") != genesis_hash("another")
