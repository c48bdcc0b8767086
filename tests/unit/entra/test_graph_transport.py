"""Where the bearer token may go, and which bytes count as an answer."""

import pytest

from shared.entra.graph.errors import GraphReplyInvalid, UntrustedLink
from shared.entra.graph.transport import GraphTransport, strict_object


@pytest.mark.parametrize(
    "link",
    [
        "http://graph.example/v1.0/users",
        "https://graph.example.evil.example/v1.0/users",
        "https://evil.example/v1.0/users",
        "https://graph.example:444/v1.0/users",
        "https://graph.example@evil.example/v1.0/users",
        "https://graph.example\\@evil.example/v1.0/users",
        "https://evil.example\\.graph.example/",
        "https://graph.example /users",
        "https://graph.example\n/users",
        "//graph.example/v1.0/users",
        "/v1.0/users",
        "",
        "https://[graph.example/",
    ],
)
def test_only_the_configured_host_over_https_is_trusted(link: str) -> None:
    with pytest.raises(UntrustedLink):
        GraphTransport("https://graph.example/v1.0").require_trusted(link)


def test_a_page_link_of_the_configured_host_is_trusted() -> None:
    GraphTransport("https://graph.example/v1.0").require_trusted("https://GRAPH.example/v1.0/users?$skiptoken=x%23y")


@pytest.mark.parametrize(
    "url", ["http://graph.example/v1.0", "graph.example", "https://a:b@graph.example", "https://g/?q"]
)
def test_a_base_that_is_not_plain_https_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        GraphTransport(url)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"<html>",
        b'{"a":1',
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":"\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_only_a_strict_json_object_is_an_answer(body: bytes) -> None:
    with pytest.raises(GraphReplyInvalid):
        strict_object(body)


def test_a_spoilt_name_does_not_spoil_its_page() -> None:
    assert strict_object(b'{"value":[{"displayName":"\\ud800"}]}') == {"value": [{"displayName": "\ud800"}]}
