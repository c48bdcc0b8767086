"""Request bodies are strict JSON objects; what is wrong is named by its position."""

import json

import pytest

from shared.api.body import MAX_BODY_BYTES, BodyTooLarge, MalformedBody, NotJson, read_object

JSON = "application/json"


@pytest.mark.parametrize(
    "content_type",
    [JSON, "application/json; charset=utf-8", 'application/json; a=b; Charset="UTF-8"', "application/vnd.api+json"],
)
def test_an_object_is_read(content_type: str) -> None:
    assert read_object('{"name": "Žofie"}'.encode(), content_type) == {"name": "Žofie"}


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/jsonx",
        "application/json; charset=utf-16",
        "application/json; foo=bar; charset=utf-16",
    ],
)
def test_another_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(NotJson):
        read_object(b"{}", content_type)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"", "Content-Length"),
        (b'{"a": 1,}', "line 1, column"),
        (b'{"a": \n nope}', "line 2, column 2"),
        (b"[1]", "object"),
        (b'"text"', "object"),
        (b"null", "object"),
        (b'{"a": 1, "a": 2}', '"a" comes twice'),
        (b'{"a": {"b": 1, "\\u0062": 2}}', '"b" comes twice'),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": "\xff"}', "byte 7"),
        (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "levels deep"),
        (b'{"a":' * 50_000, "levels deep"),
        (b'{"a": 1} x', "Extra data"),
    ],
)
def test_anything_else_is_a_sentence(body: bytes, hint: str) -> None:
    with pytest.raises(MalformedBody, match=r"^[A-Z-]") as caught:
        read_object(body, JSON)
    assert hint in caught.value.message


def test_brackets_within_strings_are_not_depth() -> None:
    value = '\\"[[{{' * 1000

    assert read_object(json.dumps({"a": value}).encode(), JSON) == {"a": value}


def test_a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() -> None:
    body = b'{"a": "' + b"x" * (MAX_BODY_BYTES - 9) + b'"}'
    assert len(body) == MAX_BODY_BYTES

    assert read_object(body, JSON)
    with pytest.raises(BodyTooLarge):
        read_object(body + b" ", JSON)
