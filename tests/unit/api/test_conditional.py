"""Conditional requests, and OCSP requests in a path: small readings of what clients send."""

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from shared.api.conditional import http_date, is_unchanged
from shared.api.ocsp_path import request_in

MOMENT = datetime(2026, 3, 4, 5, 6, 7, 890000, tzinfo=UTC)
ETAG = '"abc"'
URL = "http://pki.contoso.example/api/v1/pki/0123456789abcdef/ocsp"


def test_http_dates_are_in_gmt_and_whole_seconds() -> None:
    assert http_date(MOMENT) == "Wed, 04 Mar 2026 05:06:07 GMT"


@pytest.mark.parametrize("header", ['"abc"', 'W/"abc"', '"x", "abc"', "*"])
def test_a_matching_etag_is_unchanged(header: str) -> None:
    assert is_unchanged(header, None, ETAG, MOMENT)


@pytest.mark.parametrize("header", ['"x"', "abc", "", 'W/"x", "y"'])
def test_another_etag_is_changed_whatever_the_date_says(header: str) -> None:
    assert not is_unchanged(header, http_date(MOMENT + timedelta(days=1)), ETAG, MOMENT)


@pytest.mark.parametrize(("offset", "unchanged"), [(-1, False), (0, True), (1, True)])
def test_a_date_counts_by_the_second(offset: int, unchanged: bool) -> None:
    assert is_unchanged(None, http_date(MOMENT + timedelta(seconds=offset)), ETAG, MOMENT) is unchanged


@pytest.mark.parametrize("header", [None, "", "yesterday", "Wed, 99 Mar 2026 05:06:07 GMT", "2026-03-04T05:06:07"])
def test_a_date_that_is_none_is_passed_over(header: str | None) -> None:
    assert not is_unchanged(None, header, ETAG, MOMENT)


DER = bytes(range(256)) + b"\xff\xfe\xfb"
PLAIN = base64.b64encode(DER).decode()


@pytest.mark.parametrize(
    "encoded", [quote(PLAIN, safe=""), PLAIN, PLAIN.rstrip("="), quote(PLAIN, safe="/"), PLAIN.replace("+", "%20")]
)
def test_a_request_in_a_path_is_read_however_it_is_encoded(encoded: str) -> None:
    assert request_in(f"{URL}/{encoded}") == DER


@pytest.mark.parametrize("rest", ["", "/", "/%00", "/a-b_c", "/=", "/A", "?request=AAAA", "/%ff"])
def test_what_is_no_base64_is_an_empty_request(rest: str) -> None:
    assert request_in(URL + rest) == b""
