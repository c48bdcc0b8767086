"""Rows 1 to 4, 7, 23 to 25, 36: what the header claims about the signature, its key and the token's kind."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import PublicFormat

from tests.attack.forger import (
    ABSENT,
    EVIL,
    World,
    as_json,
    b64,
    hs256,
    jwk,
    number,
    public_der,
    public_pem,
    rs256,
    rsa_key,
)
from tests.attack.forgeries.case import (
    ALGORITHM,
    ENCRYPTED,
    HEADER,
    KEY_ID,
    MALFORMED,
    SIGNATURE,
    VALID,
    Forgery,
    case,
    each,
)

Sign = Callable[[bytes], bytes]


def forgeries() -> Iterator[Forgery]:
    yield from algorithm_is_none()
    yield from symmetric_key_confusion()
    yield from other_algorithms()
    yield from algorithm_spellings()
    yield from embedded_keys()
    yield from extensions()
    yield from json_serialisations()
    yield from encryption()
    yield from types()


def algorithm_is_none() -> Iterator[Forgery]:
    spellings = {alg: alg for alg in ("none", "None", "NONE", "nOnE")}
    yield from each(
        1,
        MALFORMED,
        spellings,
        lambda w, alg: w.signed(w.header(alg=alg), w.claims(), _empty),
        prefix="empty-signature-",
    )
    yield from each(1, ALGORITHM, spellings, _with_algorithm, prefix="original-signature-")
    yield from each(
        1, ALGORITHM, spellings, lambda w, alg: w.signed(w.header(alg=alg), w.claims()), prefix="true-signature-"
    )


def _empty(_: bytes) -> bytes:
    return b""


def _with_algorithm(world: World, alg: str) -> str:
    """A genuine token whose header alone is replaced."""
    _, payload, signature = world.token().split(".")
    return f"{b64(as_json(world.header(alg=alg)))}.{payload}.{signature}"


SECRETS: Mapping[str, Callable[[World], bytes]] = {
    "pem": lambda w: public_pem(w.key),
    "pem-crlf": lambda w: public_pem(w.key).replace(b"\n", b"\r\n"),
    "pem-without-final-newline": lambda w: public_pem(w.key).rstrip(b"\n"),
    "pem-pkcs1": lambda w: public_pem(w.key, PublicFormat.PKCS1),
    "der": lambda w: public_der(w.key),
    "jwk-text": lambda w: json.dumps(jwk(w.kid, w.key)).encode(),
    "modulus-text": lambda w: number(w.key.public_key().public_numbers().n).encode(),
    "empty": lambda w: b"",
    "kid": lambda w: w.kid.encode(),
}


def symmetric_key_confusion() -> Iterator[Forgery]:
    yield from each(
        2,
        ALGORITHM,
        SECRETS,
        lambda w, secret: w.signed(w.header(alg="HS256"), w.claims(), hs256(secret(w))),
        prefix="hs256-",
    )
    yield from each(
        2,
        SIGNATURE,
        SECRETS,
        lambda w, secret: w.signed(w.header(), w.claims(), hs256(secret(w))),
        prefix="hmac-as-rs256-",
    )


def _pkcs1(hash_: hashes.HashAlgorithm) -> Callable[[World], Sign]:
    return lambda world: lambda message: world.key.sign(message, padding.PKCS1v15(), hash_)


def _pss(hash_: hashes.HashAlgorithm) -> Callable[[World], Sign]:
    return lambda world: (
        lambda message: world.key.sign(message, padding.PSS(padding.MGF1(hash_), hash_.digest_size), hash_)
    )


def _es256(message: bytes) -> bytes:
    r, s = decode_dss_signature(ec.generate_private_key(ec.SECP256R1()).sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


SIGNERS: Mapping[str, Callable[[World], Sign]] = {
    "RS384": _pkcs1(hashes.SHA384()),
    "RS512": _pkcs1(hashes.SHA512()),
    "RS1": _pkcs1(hashes.SHA1()),
    "PS256": _pss(hashes.SHA256()),
    "PS384": _pss(hashes.SHA384()),
    "ES256": lambda world: _es256,
    "EdDSA": lambda world: ed25519.Ed25519PrivateKey.generate().sign,
}


def other_algorithms() -> Iterator[Forgery]:
    signers = {alg: (alg, signer) for alg, signer in SIGNERS.items()}
    yield from each(3, ALGORITHM, signers, lambda w, s: w.signed(w.header(alg=s[0]), w.claims(), s[1](w)))
    yield from each(3, SIGNATURE, SIGNERS, lambda w, s: w.signed(w.header(), w.claims(), s(w)), prefix="called-RS256-")


def algorithm_spellings() -> Iterator[Forgery]:
    values: list[Any] = ["rs256", "Rs256", "RS256 ", "ＲＳ256", ["RS256"], {"alg": "RS256"}, 256, True, None, ""]
    spellings = {json.dumps(value): value for value in values} | {"missing": ABSENT}
    yield from each(4, ALGORITHM, spellings, lambda w, alg: w.signed(w.header(alg=alg), w.claims()))
    duplicates = {
        "none-then-rs256": '"alg":"none","alg":"RS256"',
        "rs256-then-none": '"alg":"RS256","alg":"none"',
        "rs256-twice": '"alg":"RS256","alg":"RS256"',
        "escaped": '"alg":"RS256","\\u0061lg":"none"',
    }
    yield from each(
        4,
        MALFORMED,
        duplicates,
        lambda w, members: w.signed(f'{{{members},"kid":"{w.kid}"}}'.encode(), w.claims()),
        prefix="duplicate-",
    )


def embedded_keys() -> Iterator[Forgery]:
    attacker = rsa_key("attacker")
    members: dict[str, tuple[str, Any]] = {
        "jwk": ("jwk", jwk("attacker", attacker)),
        "jwk-private": ("jwk", jwk("attacker", attacker, d=number(attacker.private_numbers().d))),
        "jku": ("jku", f"{EVIL}/keys"),
        "jku-file": ("jku", "file:///etc/passwd"),
        "jku-link-local": ("jku", "http://169.254.169.254/metadata/identity/oauth2/token"),
        "x5u": ("x5u", f"{EVIL}/chain.pem"),
        "x5u-file": ("x5u", "file:///proc/self/environ"),
        "x5c": ("x5c", [base64.b64encode(public_der(attacker)).decode()]),
    }

    def by_attacker(world: World, member: tuple[str, Any]) -> str:
        header = world.header(kid="attacker", **dict([member]))
        return world.signed(header, world.claims(), rs256(rsa_key("attacker")))

    yield from each(7, HEADER, members, by_attacker, prefix="attackers-signature-")
    yield from each(
        7, HEADER, members, lambda w, m: w.signed(w.header(**dict([m])), w.claims()), prefix="true-signature-"
    )
    yield case(
        7, "x5t-is-ignored", VALID, lambda w: w.signed(w.header(x5t="attacker", **{"x5t#S256": "x"}), w.claims())
    )
    yield case(7, "x5t-alone-names-no-key", KEY_ID, lambda w: w.signed(w.header(kid=ABSENT), w.claims()))


def extensions() -> Iterator[Forgery]:
    crits: dict[str, Any] = {"empty": [], "exp": ["exp"], "b64": ["b64"], "unknown": ["x"], "null": None, "text": "exp"}
    yield from each(23, HEADER, crits, lambda w, crit: w.signed(w.header(crit=crit, exp=1), w.claims()), prefix="crit-")
    values: dict[str, Any] = {"false": False, "true": True, "text": "false"}
    yield from each(23, HEADER, values, lambda w, v: w.signed(w.header(b64=v, crit=["b64"]), w.claims()), prefix="b64-")
    yield case(23, "b64-without-crit", HEADER, lambda w: w.signed(w.header(b64=False), w.claims()))
    yield case(23, "detached-payload", MALFORMED, _detached)


def _detached(world: World) -> str:
    header, _, signature = world.token().split(".")
    return f"{header}..{signature}"


def json_serialisations() -> Iterator[Forgery]:
    yield case(24, "flattened", MALFORMED, lambda w: json.dumps(_flattened(w)))
    yield case(24, "general", MALFORMED, lambda w: _general(w, signatures=1))
    yield case(24, "two-signatures", MALFORMED, lambda w: _general(w, signatures=2))
    yield case(24, "inside-a-string", MALFORMED, lambda w: json.dumps(w.token()))
    yield case(24, "inside-a-list", MALFORMED, lambda w: json.dumps([w.token()]))


def _flattened(world: World) -> dict[str, Any]:
    header, payload, signature = world.token().split(".")
    return {"protected": header, "payload": payload, "signature": signature}


def _general(world: World, signatures: int) -> str:
    parts = _flattened(world)
    return json.dumps({"payload": parts.pop("payload"), "signatures": [parts] * signatures})


def encryption() -> Iterator[Forgery]:
    yield case(25, "five-segments", ENCRYPTED, _encrypted)
    members: dict[str, dict[str, Any]] = {
        "enc": {"enc": "A256GCM"},
        "zip": {"zip": "DEF"},
        "p2c": {"p2c": 10**9, "p2s": "x"},
        "epk": {"epk": {"kty": "EC"}},
        "apu": {"apu": "x", "apv": "y"},
    }
    yield from each(25, HEADER, members, lambda w, more: w.signed(w.header(**more), w.claims()))
    yield case(25, "nested-with-cty", HEADER, lambda w: w.signed(w.header(cty="JWT"), w.token().encode()))
    yield case(25, "nested-without-cty", MALFORMED, lambda w: w.signed(w.header(), w.token().encode()))


def _encrypted(world: World) -> str:
    header = b64(as_json({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": world.kid}))
    return ".".join([header, *(b64(bytes([size]) * size) for size in (255, 12, 64, 16))])


def types() -> Iterator[Forgery]:
    foreign: list[Any] = ["dpop+jwt", "logout+jwt", "JOSE", "JOSE+JSON", "jwt ", "application/jwt", "JWE", ""]
    refused = {json.dumps(value): value for value in [*foreign, None, 1, ["JWT"]]}
    yield from each(36, HEADER, refused, lambda w, typ: w.signed(w.header(typ=typ), w.claims()))
    fine: dict[str, Any] = {"jwt": "jwt", "JwT": "JwT", "at+jwt": "at+jwt", "AT+JWT": "AT+JWT", "missing": ABSENT}
    yield from each(36, VALID, fine, lambda w, typ: w.signed(w.header(typ=typ), w.claims()), prefix="fine-")
