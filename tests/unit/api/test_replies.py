"""What a handler returns becomes a response with the headers that caches and clients go by."""

import gzip
from datetime import UTC, datetime

import pytest

from shared.api.replies import File, accepts_gzip, response_of
from shared.api.routes import Route

PAGE = Route(function="page", method="GET", template="page", reply_type="text/html")
TEXT = b"<!doctype html>" * 100
PACKED = File(gzip.compress(TEXT), "no-cache", etag='W/"1"', gzipped=True)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("br;q=1.0, GZIP;q=0.1", True),
        ("deflate, gzip; q=1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("", False),
        ("identity", False),
        ("gzipped", False),
    ],
)
def test_gzip_is_sent_to_those_who_ask_for_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


def test_a_packed_file_is_expanded_for_a_caller_that_takes_no_gzip() -> None:
    plain = response_of(PACKED, PAGE, "request-1", {})
    packed = response_of(PACKED, PAGE, "request-1", {"accept-encoding": "gzip"})

    assert plain.get_body() == TEXT
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.get_body()) == TEXT
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"


def test_a_weak_etag_is_recognized_in_either_form() -> None:
    for known in ('W/"1"', '"1"', '"0", W/"1"'):
        reply = response_of(PACKED, PAGE, "request-1", {"if-none-match": known})
        assert (reply.status_code, reply.get_body()) == (304, b"")
        assert reply.headers["ETag"] == 'W/"1"'


def test_what_is_not_the_current_version_is_sent_again() -> None:
    reply = response_of(PACKED, PAGE, "request-1", {"if-none-match": '"2"'})

    assert (reply.status_code, reply.mimetype) == (200, "text/html")


def test_only_a_file_with_an_etag_says_when_it_was_made() -> None:
    made = datetime(2026, 11, 23, 8, tzinfo=UTC)
    with_etag = response_of(File(b"x", "no-cache", '"1"', made), PAGE, "request-1", {})
    without = response_of(File(b"x", "no-store", None, made), PAGE, "request-1", {})

    assert with_etag.headers["Last-Modified"] == "Mon, 23 Nov 2026 08:00:00 GMT"
    assert "Last-Modified" not in without.headers
