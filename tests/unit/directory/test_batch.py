"""The wire format of transactions."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.directory.batch import BatchReply, Method, Operation, build_batch, operation_size, parse_reply

URL = "https://account-of-twenty-four.table.core.windows.net"
TENANT = "0f3ad5b6-8f51-4a7c-9c55-0d4b8b6d2a11"
OPERATIONS = st.builds(
    Operation,
    st.sampled_from(Method),
    st.from_regex(r"[a-z]{1,10}\|[a-z0-9| ']{1,60}", fullmatch=True),
    st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=50), max_size=4),
)


def build(operations: list[Operation]) -> bytes:
    return build_batch(URL, "directory", TENANT, operations, str(uuid.uuid4())).body


def reply(*parts: str) -> bytes:
    boundary = "changesetresponse_1"
    body = "".join(
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n{part}\r\n"
        for part in parts
    )
    head = f"--batchresponse_1\r\nContent-Type: multipart/mixed; boundary={boundary}\r\n\r\n"
    return f"{head}{body}--{boundary}--\r\n--batchresponse_1--\r\n".encode()


def done(etag: str) -> str:
    return f"HTTP/1.1 204 No Content\r\nContent-ID: 1\r\nETag: {etag}\r\n\r\n"


@settings(deadline=None)
@given(st.lists(OPERATIONS, min_size=1, max_size=5), OPERATIONS)
def test_the_size_of_an_operation_is_never_underestimated(before: list[Operation], added: Operation) -> None:
    properties: dict[str, Any] = {} if added.method is Method.DELETE else dict(added.properties)

    grown = len(build([*before, added])) - len(build(before))

    assert grown <= operation_size(TENANT, added.key, properties)


@settings(deadline=None)
@given(st.lists(OPERATIONS, min_size=1, max_size=5))
def test_a_body_is_ascii_with_one_json_line_for_each_entity(operations: list[Operation]) -> None:
    lines = build(operations).decode("ascii").split("\r\n")

    entities = [json.loads(line) for line in lines if line.startswith("{")]

    assert entities == [
        {"PartitionKey": TENANT, "RowKey": operation.key, **operation.properties}
        for operation in operations
        if operation.method is not Method.DELETE
    ]


def test_the_etags_of_a_success_are_read_in_order() -> None:
    answer = parse_reply(reply(done("W/\"datetime'1'\""), done("W/\"datetime'2'\"")), 2)

    assert answer == BatchReply(202, ("W/\"datetime'1'\"", "W/\"datetime'2'\""), "")


def test_a_failed_operation_gives_its_status() -> None:
    answer = parse_reply(reply('HTTP/1.1 412 Precondition Failed\r\n\r\n{"odata.error":{"code":"x"}}'), 3)

    assert answer is not None
    assert (answer.status, answer.etags) == (412, ())
    assert "odata.error" in answer.message


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_an_answer_that_is_cut_off_says_nothing(share: float) -> None:
    whole = reply(done("1"), done("2"), done("3"))

    assert parse_reply(whole[: int(whole.rindex(b"\r\n--changeset") * share)], 3) is None
