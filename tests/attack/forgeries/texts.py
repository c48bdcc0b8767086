"""Rows 22, 26 to 29: the token as text: segments, base64url, UTF-8, JSON, and how much of it."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from tests.attack.forger import ROLE, USER, World, as_json, b64
from tests.attack.forgeries.case import (
    CLAIMS,
    ENCRYPTED,
    MALFORMED,
    TOO_LARGE,
    VALID,
    Forgery,
    case,
    each,
)

BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def forgeries() -> Iterator[Forgery]:
    yield from duplicate_members()
    yield from segments()
    yield from base64_variants()
    yield from encodings()
    yield from marks_in_identifiers()
    yield from json_garbage()
    yield from sizes()


def duplicate_members() -> Iterator[Forgery]:
    members = {
        "aud": '"aud":"https://evil.example"',
        "roles": '"roles":[]',
        "roles-escaped": '"ro\\u006ces":["admin"]',
        "iss-escaped": '"\\u0069ss":"https://evil.example"',
        "exp": '"exp":9999999999',
        "unknown": '"x":1,"x":1',
        "nested": '"x":{"a":1,"a":2}',
        "nested-in-list": '"x":[{"a":1,"\\u0061":2}]',
    }
    yield from each(22, MALFORMED, members, lambda w, member: w.signed(w.header(), _before(w, member)), prefix="first-")
    yield from each(22, MALFORMED, members, lambda w, member: w.signed(w.header(), _after(w, member)), prefix="last-")
    header = {"kid": b',"kid":"attacker"}', "kid-escaped": b',"\\u006bid":"attacker"}', "unknown": b',"x":1,"x":2}'}
    yield from each(
        22, MALFORMED, header, lambda w, end: w.signed(as_json(w.header())[:-1] + end, w.claims()), prefix="header-"
    )


def _before(world: World, member: str) -> bytes:
    return f"{{{member},".encode() + as_json(world.claims())[1:]


def _after(world: World, member: str) -> bytes:
    return as_json(world.claims())[:-1] + f",{member}}}".encode()


SEGMENTS: Mapping[str, Callable[[str], str]] = {
    "none": lambda t: "..",
    "one": lambda t: t.split(".")[0],
    "two": lambda t: t.rpartition(".")[0],
    "four": lambda t: t + ".x",
    "four-empty": lambda t: t + ".",
    "leading-dot": lambda t: "." + t,
    "double-dot": lambda t: t.replace(".", "..", 1),
    "empty-header": lambda t: "." + t.partition(".")[2],
    "empty-signature": lambda t: t.rpartition(".")[0] + ".",
    "leading-newline": lambda t: "\n" + t,
    "trailing-space": lambda t: t + " ",
    "trailing-newline": lambda t: t + "\n",
    "trailing-nul": lambda t: t + "\0",
    "inner-newline": lambda t: t[:50] + "\n" + t[50:],
    "inner-space": lambda t: t[:-50] + " " + t[-50:],
    "bearer-prefix": lambda t: "Bearer " + t,
    "padded": lambda t: t + "==",
    "padded-header": lambda t: t.replace(".", "=.", 1),
    "full-width-letter": lambda t: "ｅ" + t[1:],
    "cyrillic-letter": lambda t: t[:60] + "а" + t[61:],
    "one-dot-leader": lambda t: t.replace(".", "․"),
    "zero-width-space": lambda t: t[:60] + "\u200b" + t[60:],
    "percent-encoded-dots": lambda t: t.replace(".", "%2E"),
    "quoted": lambda t: f'"{t}"',
}


def segments() -> Iterator[Forgery]:
    yield from each(26, MALFORMED, SEGMENTS, lambda w, change: change(w.token()))
    one_more_space = 200  # after `Bearer`: RFC 6750 2.1 allows several
    yield case(26, "leading-space", MALFORMED, lambda w: " " + w.token(), bearer=one_more_space)
    yield case(26, "five", ENCRYPTED, lambda w: w.token() + ".x.y")


def base64_variants() -> Iterator[Forgery]:
    """Other spellings of the very bytes of a genuine token; those of header and payload are rightly signed."""
    places = {"header": 0, "payload": 1, "signature": 2}
    spellings: dict[str, Callable[[str], str]] = {
        "unused-bits-": lambda s: s[:-1] + BASE64URL[BASE64URL.index(s[-1]) + 1],
        "standard-alphabet-": lambda s: s.replace("-", "+").replace("_", "/"),
        "impossible-length-": lambda s: s + "A" * ((1 - len(s)) % 4 or 4),
        "padding-": lambda s: s + "=" * (-len(s) % 4),
        "line-break-": lambda s: s[:76] + "\r\n" + s[76:],
    }
    for name, spell in spellings.items():
        yield from each(26, MALFORMED, places, partial(_respelled, spell), prefix=name)


def _respelled(spell: Callable[[str], str], world: World, at: int) -> str:
    parts = _spellable(world)
    parts[at] = spell(parts[at])
    return world.resigned(".".join(parts[:2])) if at < 2 else ".".join(parts)


def _spellable(world: World) -> list[str]:
    """The segments of a genuine token, each with unused bits (no length that 4 divides), a `-` and a `_`."""
    odd = "ÿÿþþ~~??>>"
    header, claims = world.header(x=odd), world.claims(name=odd)
    while True:
        parts = world.signed(_uneven(as_json(header)), _uneven(as_json(claims))).split(".")
        if all({"-", "_"} <= set(part) for part in parts):
            return parts
        header["x"] += "ÿ"
        claims["name"] += "ÿ"


def _uneven(text: bytes) -> bytes:
    return text if len(text) % 3 else text[:-1] + b" }"


ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "utf-8-bom": lambda text: b"\xef\xbb\xbf" + text,
    "utf-16-le": lambda text: text.decode().encode("utf-16-le"),
    "utf-16-bom": lambda text: text.decode().encode("utf-16"),
    "utf-32": lambda text: text.decode().encode("utf-32-le"),
    "utf-7-quotes": lambda text: text.replace(b'"', b"+ACI-"),
    "invalid-utf-8": lambda text: text[:-1] + b',"x":"\xff"}',
    "overlong-utf-8": lambda text: text[:-1] + b',"x":"\xc0\xaf"}',
    "surrogate-in-utf-8": lambda text: text[:-1] + b',"x":"\xed\xa0\x80"}',
    "truncated-utf-8": lambda text: text[:-1] + b',"x":"\xe2\x82"}',
    "lone-surrogate": lambda text: text[:-1] + b',"x":"\\ud800"}',
    "lone-surrogate-nested": lambda text: text[:-1] + b',"x":[{"y":"\\udfff\\ud800"}]}',
    "lone-surrogate-member": lambda text: text[:-1] + b',"\\udc00":1}',
    "raw-control-character": lambda text: text[:-1] + b',"x":"a\nb"}',
}


def encodings() -> Iterator[Forgery]:
    yield from each(
        27, MALFORMED, ENCODINGS, lambda w, e: w.signed(w.header(), e(as_json(w.claims()))), prefix="payload-"
    )
    yield from each(
        27, MALFORMED, ENCODINGS, lambda w, e: w.signed(e(as_json(w.header())), w.claims()), prefix="header-"
    )
    yield case(27, "surrogate-pair-is-fine", VALID, lambda w: w.token(name="Ada 🦉"))
    yield case(
        27, "escaped-pair-is-fine", VALID, lambda w: w.signed(w.header(), json.dumps(w.claims(name="🦉")).encode())
    )


def marks_in_identifiers() -> Iterator[Forgery]:
    marks = {
        "nul": "\0",
        "bidi-override": "\u202e",
        "bidi-isolate": "\u2066",
        "line-separator": "\u2028",
        "del": "\x7f",
    }
    for claim in ("sub", "oid", "preferred_username", "upn", "email", "unique_name", "scp"):
        yield from each(27, CLAIMS, marks, partial(_with_mark, claim), prefix=f"{claim}-")
    yield from each(27, CLAIMS, marks, lambda w, mark: w.token(roles=[ROLE, ROLE + mark]), prefix="roles-")
    yield case(27, "groups-nul", CLAIMS, lambda w: w.token(groups=["a\0"]))
    yield case(27, "groups-number", CLAIMS, lambda w: w.token(groups=["a", 1]))
    yield case(27, "groups-text", CLAIMS, lambda w: w.token(groups="a"))
    yield case(27, "name-nul", CLAIMS, lambda w: w.token(name="Ada\0"))
    yield case(27, "name-list", CLAIMS, lambda w: w.token(name=["Ada"]))
    yield case(27, "group-with-joined-emoji-is-fine", VALID, lambda w: w.token(groups=["Family 👩\u200d👧"]))
    yield case(27, "name-with-direction-marks-is-fine", VALID, lambda w: w.token(name="\u200fעדה\u200e Lovelace"))


def _with_mark(claim: str, world: World, mark: str) -> str:
    return world.token(**{claim: USER + mark})


def _with(end: bytes) -> Callable[[bytes], bytes]:
    """A further member `x` with this spelling of its value."""
    return lambda text: text[:-1] + b',"x":' + end + b"}"


GARBAGE: Mapping[str, Callable[[bytes], bytes]] = {
    "trailing-brace": lambda t: t + b"}",
    "trailing-object": lambda t: t + b"{}",
    "trailing-nul": lambda t: t + b"\0",
    "trailing-form-feed": lambda t: t + b"\x0c",
    "trailing-no-break-space": lambda t: t + b"\xc2\xa0",
    "leading-form-feed": lambda t: b"\x0c" + t,
    "line-comment": lambda t: b"// x\n" + t,
    "block-comment": lambda t: t[:-1] + b"/* x */}",
    "trailing-comma": lambda t: t[:-1] + b",}",
    "single-quotes": lambda t: t.replace(b'"', b"'"),
    "nan": _with(b"NaN"),
    "nested-lists": _with(b"[" * 5000 + b"]" * 5000),
    "nested-objects": _with(b'{"a":' * 1700 + b"1" + b"}" * 1700),
    "unclosed-lists": lambda t: b"[" * 11_000,
    "unclosed-objects": lambda t: b'{"a":' * 2000,
    "integer-of-5000-digits": _with(b"9" * 5000),
    "bad-escape": _with(b'"\\x41"'),
    "short-escape": _with(b'"\\u00"'),
    "signed-escape": _with(b'"\\u+041"'),
    "array": lambda t: b"[" + t + b"]",
    "string": lambda t: json.dumps(t.decode()).encode(),
    "number": lambda t: b"1",
    "null": lambda t: b"null",
    "white-space": lambda t: b" ",
    "xml": lambda t: b"<claims/>",
    "unquoted": lambda t: b"{aud:1}",
}


def json_garbage() -> Iterator[Forgery]:
    yield from each(28, MALFORMED, GARBAGE, lambda w, change: w.signed(w.header(), change(as_json(w.claims()))))
    headers = {name: GARBAGE[name] for name in ("trailing-object", "nan", "array", "string", "null", "trailing-comma")}
    yield from each(
        28, MALFORMED, headers, lambda w, change: w.signed(change(as_json(w.header())), w.claims()), prefix="header-"
    )
    yield case(28, "many-members-are-fine", VALID, lambda w: w.token(**{f"x{at}": at for at in range(600)}))
    yield case(
        28, "white-space-is-fine", VALID, lambda w: w.signed(w.header(), b" \n" + as_json(w.claims()) + b"\t\r\n")
    )


def sizes() -> Iterator[Forgery]:
    yield case(29, "over-16-kB", TOO_LARGE, lambda w: w.token(x="x" * 16_384))
    yield case(29, "1-MB", TOO_LARGE, lambda w: w.token() + "A" * 2**20, http=413)
    yield case(29, "16-MB", TOO_LARGE, lambda w: "A" * 2**24, http=413)
    yield case(29, "10^5-members", TOO_LARGE, lambda w: w.token(**{f"x{at}": 1 for at in range(10**5)}), http=413)
    yield case(29, "nesting-of-10^5", TOO_LARGE, lambda w: w.signed(w.header(), b"[" * 10**5))
    yield case(29, "header-of-5-kB", MALFORMED, lambda w: f"{b64(as_json(w.header(x='x' * 5000)))}.e30.e30")
    yield case(29, "header-of-100-kB", TOO_LARGE, lambda w: w.signed(w.header(x="x" * 100_000), w.claims()))
