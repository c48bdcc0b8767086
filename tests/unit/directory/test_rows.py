"""The codec between rows of plain values and Table Storage entities."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.directory.errors import MalformedRow, UnstorableValue
from shared.directory.records.base import Row, row_sha256
from shared.directory.rows import (
    BINARY_CHUNK,
    STRING_CHUNK,
    check_key,
    checked_row,
    decode_row,
    encode_row,
    property_count,
    stored_size,
)

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(_[a-z0-9]{1,5}){0,2}", fullmatch=True)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES = st.one_of(TEXT, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.binary())


def on_the_wire(row: Row) -> dict[str, Any]:
    """What the service would answer: through JSON, with keys and its own properties."""
    entity = {"odata.etag": 'W/"1"', "PartitionKey": "t", "RowKey": "note|1", "Timestamp": "2026-01-01T00:00:00Z"}
    answer: dict[str, Any] = json.loads(json.dumps({**entity, **encode_row(row)}))
    return answer


def utf16_units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@settings(deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_every_row_comes_back_as_it_went(row: Row) -> None:
    back = checked_row(on_the_wire(row))

    assert back == row
    assert {name: type(value) for name, value in back.items()} == {name: type(value) for name, value in row.items()}
    assert row_sha256(back) == row_sha256(row)


@settings(deadline=None)
@given(st.integers(0, 3), st.integers(-3, 3), st.text("aé漢😀", min_size=1, max_size=7))
def test_long_text_is_cut_into_properties_the_service_takes(chunks: int, more: int, pattern: str) -> None:
    text = (pattern * (chunks * STRING_CHUNK // len(pattern) + 2))[: max(chunks * STRING_CHUNK + more, 0)]

    properties = encode_row({"text": text})

    assert all(utf16_units(value) <= STRING_CHUNK for value in properties.values())
    assert decode_row({"RowKey": "note|1", **properties}) == {"text": text}
    assert len(properties) <= property_count({"text": text}) + 1


@pytest.mark.parametrize("size", [0, 1, BINARY_CHUNK, BINARY_CHUNK + 1, 3 * BINARY_CHUNK])
def test_long_bytes_are_cut_into_properties_the_service_takes(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    properties = encode_row({"data": data})

    assert decode_row({"RowKey": "note|1", **properties}) == {"data": data}
    assert len([name for name in properties if "@" not in name]) == max(-(-size // BINARY_CHUNK), 1)


def test_a_surrogate_pair_is_never_cut() -> None:
    text = "x" + "😀" * STRING_CHUNK

    properties = encode_row({"text": text})

    assert [utf16_units(value) for value in properties.values()] == [STRING_CHUNK - 1, STRING_CHUNK, 2]


def test_integers_are_64_bit_whatever_their_size() -> None:
    assert encode_row({"n": 1}) == {"n@odata.type": "Edm.Int64", "n": "1"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [("a\0b", "NUL"), ("a\ud800", "lone surrogate"), ("\udc00" + "漢", "lone surrogate"), (2**63, "64 bits")],
)
def test_a_value_that_cannot_be_kept_without_loss_is_refused(value: str | int, reason: str) -> None:
    with pytest.raises(UnstorableValue, match=reason):
        encode_row({"value": value})


@pytest.mark.parametrize("name", ["", "Name", "a__1", "a-b", "_a", "row key", "a\n"])
def test_a_property_name_that_could_be_mistaken_is_a_defect(name: str) -> None:
    with pytest.raises(ValueError, match="property name"):
        encode_row({name: "x"})


@pytest.mark.parametrize("key", ["", "a/b", "a\\b", "a#b", "a?b", "a%b", "ä", "a\x7f", "a\n", "x" * 513])
def test_a_key_that_the_service_would_not_take_is_a_defect(key: str) -> None:
    with pytest.raises(ValueError, match="row key"):
        check_key(key)


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"n": 5}, "n is of type int"),
        ({"n": 1.5}, "n is of type float"),
        ({"t": "2026-01-01T00:00:00Z", "t@odata.type": "Edm.DateTime"}, "Edm.DateTime"),
        ({"b": "***", "b@odata.type": "Edm.Binary"}, "not of its type Edm.Binary"),
        ({"n": "x", "n@odata.type": "Edm.Int64"}, "not of its type Edm.Int64"),
        ({"a": "x", "a__2": "y"}, "chunk of a is missing"),
        ({"a__1": "y"}, "chunk of a is missing"),
        ({"a": "x", "a__1": True}, "another type"),
        ({"a": "x", "a__01": "y"}, "a__01"),
        ({"a": "x", "a__1": "y"}, "not written as this app writes them"),
        ({"Foo": "x"}, "property name"),
        ({"a": "x\0"}, "NUL"),
        ({"n": "007", "n@odata.type": "Edm.Int64"}, "not written as this app writes them"),
    ],
)
def test_an_entity_that_this_app_did_not_write_is_noticed(properties: dict[str, Any], problem: str) -> None:
    with pytest.raises(MalformedRow, match=problem) as caught:
        checked_row({"PartitionKey": "t", "RowKey": "note|7", **properties})
    assert caught.value.key == "note|7"


@settings(deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_the_stored_size_counts_at_least_two_bytes_a_character(row: Row) -> None:
    text = sum(utf16_units(value) for value in row.values() if isinstance(value, str))

    assert stored_size("note|1", row) >= 2 * text + 2 * sum(map(len, row))
