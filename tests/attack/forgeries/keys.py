"""Rows 5, 6, 8, 9, 13, 14: who signed, and which key the token says it was."""

import hashlib
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.attack.forger import ABSENT, EVIL, SHA256_INFO, World, as_json, b64, hs256, padded, rs256, rsa_key
from tests.attack.forgeries.case import (
    ALGORITHM,
    KEY_ID,
    MALFORMED,
    SIGNATURE,
    UNKNOWN_KEY,
    VALID,
    Forgery,
    case,
    each,
)


def forgeries() -> Iterator[Forgery]:
    yield from other_keys()
    yield from odd_key_ids()
    yield from odd_published_keys()
    yield from keys_of_other_issuers()


def _by(world: World, kid: str, key: RSAPrivateKey) -> str:
    return world.signed(world.header(kid=kid, x5t=kid), world.claims(), rs256(key))


def _by_attacker(world: World, kid: str) -> str:
    return _by(world, kid, rsa_key("attacker"))


def other_keys() -> Iterator[Forgery]:
    yield case(5, "attackers-key", SIGNATURE, lambda w: _by_attacker(w, w.kid))
    yield case(5, "exponent-3", SIGNATURE, lambda w: _by(w, w.kid, rsa_key("exponent-3", 2048, 3)))
    yield case(5, "short-key", SIGNATURE, lambda w: _by(w, w.kid, rsa_key("short", 1024)))
    yield case(5, "payload-of-another-token", SIGNATURE, _other_payload)
    purposes = {kid: kid for kid in ("for-encryption", "encrypts", "for-ps256")}
    yield from each(6, UNKNOWN_KEY, purposes, _by_attacker)


def _other_payload(world: World) -> str:
    header, _, signature = world.token().split(".")
    return f"{header}.{b64(as_json(world.claims(sub='somebody else')))}.{signature}"


KEY_IDS: dict[str, Any] = {
    "path": "../../x",
    "absolute-path": "/dev/null",
    "sql": "x' OR '1'='1",
    "sql-union": "x' UNION SELECT 'key",
    "percent-nul": "key%00",
    "nul": "key\0",
    "command": "|id",
    "url": f"{EVIL}/key",
    "129-characters": "k" * 129,
    "non-ascii": "schlüssel",
    "look-alike-digits": "１２３",
    "newline-at-the-end": "key\n",
    "empty": "",
    "integer": 1,
    "float": 1.5,
    "true": True,
    "null": None,
    "list": ["key"],
    "object": {"kid": "key"},
    "missing": ABSENT,
}


def odd_key_ids() -> Iterator[Forgery]:
    yield from each(8, KEY_ID, KEY_IDS, lambda w, kid: w.signed(w.header(kid=kid), w.claims()))
    yield case(8, "10-kB", MALFORMED, lambda w: w.signed(w.header(kid="k" * 10_000), w.claims()))
    random = {str(at): hashlib.sha256(bytes([at])).hexdigest() for at in range(3)}
    yield from each(9, UNKNOWN_KEY, random, lambda w, kid: _by(w, kid, w.key), prefix="random-")


def odd_published_keys() -> Iterator[Forgery]:
    """The keys of `forger.odd_keys`, which stand beside the true one in the issuer's key set."""
    yield case(13, "duplicate-kid-one-key", UNKNOWN_KEY, lambda w: _by_attacker(w, "duplicate"))
    yield case(13, "duplicate-kid-other-key", UNKNOWN_KEY, lambda w: _by(w, "duplicate", rsa_key("duplicate")))
    yield case(13, "same-key-twice-is-fine", VALID, lambda w: _by(w, "twice", rsa_key("duplicate")))
    names = ("exponent-1", "exponent-even", "exponent-huge", "long", "even", "private", "not-base64", "no-modulus")
    yield from each(13, UNKNOWN_KEY, {kid: kid for kid in (*names, "elliptic")}, _by_attacker)
    yield case(13, "exponent-3", UNKNOWN_KEY, lambda w: _by(w, "exponent-3", rsa_key("exponent-3", 2048, 3)))
    yield case(13, "short", UNKNOWN_KEY, lambda w: _by(w, "short", rsa_key("short", 1024)))
    yield case(13, "exponent-1-message-as-signature", UNKNOWN_KEY, _message_as_signature)
    yield case(13, "oct-as-hs256", ALGORITHM, lambda w: _symmetric(w, "HS256"))
    yield case(13, "oct-as-rs256", UNKNOWN_KEY, lambda w: _symmetric(w, "RS256"))


def _symmetric(world: World, alg: str) -> str:
    return world.signed(world.header(alg=alg, kid="symmetric"), world.claims(), hs256(b"secret" * 8))


def _message_as_signature(world: World) -> str:
    """With e = 1 the padded message is its own signature."""
    return world.signed(
        world.header(kid="exponent-1"), world.claims(), lambda m: padded(SHA256_INFO + hashlib.sha256(m).digest())
    )


def keys_of_other_issuers() -> Iterator[Forgery]:
    foreign = {kid: kid for kid in ("other-tenant", "other-issuer", "issuer-is-a-list")}
    yield from each(14, UNKNOWN_KEY, foreign, _by_attacker)
    yield case(14, "placeholder-is-any-tenant", VALID, lambda w: _by(w, "placeholder", rsa_key("placeholder")))
