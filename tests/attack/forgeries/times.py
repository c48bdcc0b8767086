"""Row 21: when the token was made, from when and until when it is valid."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from tests.attack.forger import ABSENT, World, as_json
from tests.attack.forgeries.case import (
    EXPIRED,
    MALFORMED,
    TIMES,
    TOO_EARLY,
    TOO_LONG,
    VALID,
    Forgery,
    case,
    each,
    with_claim,
)

HOUR = 3600
NO_TIMES: Mapping[str, Any] = {
    "null": None,
    "text": "1700000000",
    "true": True,
    "list": [1700000000],
    "object": {},
    "float": 1700000000.0,
    "1e308": 1e308,
    "negative": -1,
}
TOO_LATE: Mapping[str, Any] = {"10^40": 10**40, "year-10000": 253_402_300_800}


def forgeries() -> Iterator[Forgery]:
    for claim in ("exp", "iat", "nbf"):
        yield from each(21, TIMES, NO_TIMES, partial(with_claim, claim), prefix=f"{claim}-")
    yield from each(21, TIMES, {"exp": "exp", "iat": "iat"}, lambda w, c: w.token(**{c: ABSENT}), prefix="missing-")
    yield from each(21, TIMES, TOO_LATE, lambda w, value: w.token(exp=value), prefix="exp-")
    yield case(21, "exp-0", TIMES, lambda w: w.token(exp=0))
    yield from literals()
    yield from moments()


def literals() -> Iterator[Forgery]:
    """Numbers in spellings that some parsers take."""
    refused = ("NaN", "Infinity", "-Infinity", "1e999", "01", "+1", "0x7fffffff", "1_000_000_000", "1.", ".5", "1n")
    yield from each(21, MALFORMED, {text: text for text in refused}, _with_literal, prefix="exp-literal-")
    no_integers = {text: text for text in ("9e9", "9.0e9", "-0", "9999999999.5")}
    yield from each(21, TIMES, no_integers, _with_literal, prefix="exp-literal-")


def _with_literal(world: World, literal: str) -> str:
    rest = as_json(world.claims(exp=ABSENT))[1:]
    return world.signed(world.header(), f'{{"exp":{literal},'.encode() + rest)


def moments() -> Iterator[Forgery]:
    def at(world: World, **offsets: int) -> str:
        return world.token(**{claim: world.now + offset for claim, offset in offsets.items()})

    yield case(21, "expired-61-s-ago", EXPIRED, lambda w: at(w, exp=-61, iat=-HOUR, nbf=-HOUR))
    yield case(21, "expired-60-s-ago", EXPIRED, lambda w: at(w, exp=-60, iat=-HOUR, nbf=-HOUR))
    yield case(
        21, "expired-a-year-ago", EXPIRED, lambda w: at(w, exp=-365 * 24 * HOUR, iat=-9000 * HOUR, nbf=0 - 9000 * HOUR)
    )
    yield case(21, "expired-within-the-leeway", VALID, lambda w: at(w, exp=-20, iat=-HOUR, nbf=-HOUR))
    yield case(21, "nbf-in-3-minutes", TOO_EARLY, lambda w: at(w, nbf=180))
    yield case(21, "iat-in-3-minutes", TOO_EARLY, lambda w: at(w, iat=180))
    yield case(21, "nbf-within-the-leeway", VALID, lambda w: at(w, nbf=30))
    yield case(21, "life-of-30-hours", TOO_LONG, lambda w: at(w, exp=30 * HOUR))
    yield case(21, "life-of-30-hours-from-nbf", TOO_LONG, lambda w: at(w, exp=HOUR, nbf=-29 * HOUR))
    yield case(21, "life-of-28-hours", VALID, lambda w: at(w, exp=28 * HOUR))
    yield case(21, "exp-before-iat", TIMES, lambda w: at(w, exp=-30, iat=-20, nbf=-99))
    yield case(21, "exp-at-iat", TIMES, lambda w: at(w, exp=9, iat=9))
    yield case(21, "exp-at-nbf", TIMES, lambda w: at(w, exp=9, nbf=9))
