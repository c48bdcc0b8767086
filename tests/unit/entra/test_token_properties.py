"""Properties of the validator over generated tokens: no mutation is accepted, nothing but its own error is raised."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from shared.entra.tokens import base64url, strict_json
from shared.entra.tokens.errors import TokenRejected
from shared.entra.tokens.issuers import IssuerSource, issuers_of_tenant
from shared.entra.tokens.key_discovery import PublishedKeys, published_keys
from shared.entra.tokens.signing_keys import SigningKeyStore
from shared.entra.tokens.validator import TokenValidator, ValidatorPolicy
from tests.attack.forger import World, as_json, b64, jwk, rsa_key
from tests.attack.stopwatch import LONGEST, stopwatch

TENANT = "7e4a0000-0000-4000-8000-00000000000a"
GLOBAL = "https://login.microsoftonline.com"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANY = settings(max_examples=150, deadline=None)
SOME = settings(max_examples=60, deadline=None)
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

WORLD = World(
    tenant_id=TENANT,
    v1_issuer=f"https://sts.windows.net/{TENANT}/",
    v2_issuer=f"{GLOBAL}/{TENANT}/v2.0",
    audience="a0d1e0ce-0000-4000-8000-000000000001",
    other_audience="",
    kid="true",
    key=rsa_key("true"),
    clock=NOON.timestamp,
)
TOKEN = WORLD.token()


def _store(source: IssuerSource) -> SigningKeyStore:
    def fetch() -> PublishedKeys:
        return published_keys({"keys": [jwk("true", WORLD.key)]}, source, str(source.issuer), TENANT)

    return SigningKeyStore(source, fetch, clock=lambda: NOON)


VALIDATOR = TokenValidator(
    ValidatorPolicy(issuers_of_tenant(GLOBAL, TENANT), frozenset({WORLD.audience})), _store, clock=lambda: NOON
)


def accepted(token: str) -> bool:
    """Whether the token is called valid, within the time that any token may take; no other error is raised."""
    with stopwatch() as spent:
        try:
            VALIDATOR.validate(token)
            valid = True
        except TokenRejected:
            valid = False
    assert spent[0] < LONGEST
    return valid


tokens = st.builds(
    lambda version, name, groups: WORLD.token(version=version, name=name, groups=groups),
    st.sampled_from([1, 2]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40),
    st.lists(st.uuids().map(str), max_size=5),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(tokens)
@SOME
def test_a_genuine_token_is_valid(token: str) -> None:
    assert accepted(token)


@given(token=tokens, at=st.integers(min_value=0), bit=st.integers(0, 6))
@MANY
def test_no_flipped_bit_is_accepted(token: str, at: int, bit: int) -> None:
    at %= len(token)
    assert not accepted(token[:at] + chr(ord(token[at]) ^ (1 << bit)) + token[at + 1 :])


@given(at=st.integers(0, len(TOKEN) - 1), character=st.characters())
@MANY
def test_no_other_character_is_accepted(at: int, character: str) -> None:
    assume(character != TOKEN[at])
    assert not accepted(TOKEN[:at] + character + TOKEN[at + 1 :])


@given(at=st.integers(0, len(TOKEN)), more=st.text(min_size=1, max_size=8))
@MANY
def test_nothing_can_be_inserted(at: int, more: str) -> None:
    assert not accepted(TOKEN[:at] + more + TOKEN[at:])


@given(start=st.integers(0, len(TOKEN) - 1), length=st.integers(1, 400))
@MANY
def test_nothing_can_be_cut_out(start: int, length: int) -> None:
    assert not accepted(TOKEN[:start] + TOKEN[start + length :])


@given(one=tokens, other=tokens, order=st.permutations(range(6)), size=st.integers(3, 3))
@MANY
def test_segments_cannot_be_swapped(one: str, other: str, order: list[int], size: int) -> None:
    parts = [*one.split("."), *other.split(".")]
    mixed = ".".join(parts[at] for at in order[:size])
    assume(mixed not in (one, other))
    same_header = mixed.partition(".")[2] in (one.partition(".")[2], other.partition(".")[2])
    assume(not (same_header and parts[0] == parts[3]))
    assert not accepted(mixed)


@given(part=st.sampled_from([0, 1]), indent=st.sampled_from([None, 0, 1, 4]), sort=st.booleans(), ascii_=st.booleans())
@SOME
def test_no_other_serialisation_of_the_same_json_is_accepted(
    part: int, indent: int | None, sort: bool, ascii_: bool
) -> None:
    segments = TOKEN.split(".")
    content = json.loads(base64url.decode(segments[part]))
    respelled = b64(json.dumps(content, indent=indent, sort_keys=sort, ensure_ascii=ascii_).encode())
    assume(respelled != segments[part])
    segments[part] = respelled
    assert not accepted(".".join(segments))


@given(
    part=st.sampled_from([0, 1, 2]),
    encode=st.sampled_from([base64.b64encode, base64.urlsafe_b64encode, base64.b32encode]),
)
@SOME
def test_no_other_encoding_of_the_same_bytes_is_accepted(part: int, encode: Any) -> None:
    segments = TOKEN.split(".")
    other = encode(base64url.decode(segments[part])).decode()
    assume(other != segments[part])
    segments[part] = other
    assert not accepted(".".join(segments))


@given(st.text(max_size=200) | st.text(BASE64URL + ".", max_size=400))
@example("..")
@example("." * 20_000)
@example("\ud800.\ud800.\ud800")
@MANY
def test_no_text_breaks_the_validator(text: str) -> None:
    assert not accepted(text)


@given(header=st.binary(max_size=200), payload=st.binary(max_size=400), signature=st.binary(min_size=1, max_size=300))
@MANY
def test_no_bytes_in_the_segments_break_the_validator(header: bytes, payload: bytes, signature: bytes) -> None:
    assert not accepted(f"{b64(header)}.{b64(payload)}.{b64(signature)}")


@given(member=st.sampled_from(sorted({*WORLD.header(), "crit", "jwk", "nonce", "b64"})), value=json_values)
@MANY
def test_no_value_of_a_header_member_breaks_the_validator(member: str, value: object) -> None:
    token = WORLD.signed(WORLD.header(**{member: value}), WORLD.claims())
    harmless = member == "x5t" or (member == "typ" and str(value).lower() in ("jwt", "at+jwt"))
    assume(not (member in WORLD.header() and value == WORLD.header()[member]))
    try:
        as_json(value).decode()
        strict_json.parse_object(as_json({"x": value}))
    except ValueError:
        harmless = False
    assert accepted(token) is harmless


@given(
    claim=st.sampled_from(sorted({*WORLD.claims(), "upn", "email", "_claim_names", "hasgroups", "idtyp"})),
    value=json_values,
)
@MANY
def test_no_value_of_a_signed_claim_breaks_the_validator(claim: str, value: Any) -> None:
    token = WORLD.signed(WORLD.header(), WORLD.claims(**{claim: value}))
    if accepted(token):
        found = VALIDATOR.validate(token)
        assert all(isinstance(text, str) for text in (*found.roles, *found.groups, *found.scopes, found.subject))
        assert found.tenant_id == TENANT and found.audience == WORLD.audience


@given(st.binary(max_size=60))
@SOME
def test_base64url_decodes_what_it_encoded(data: bytes) -> None:
    assert base64url.decode(b64(data)) == data


@given(st.text(BASE64URL + "+/= \n", max_size=12))
@MANY
@example("QR")
@example("QQ=")
@example("Q-+_")
def test_base64url_takes_one_spelling_only(text: str) -> None:
    try:
        decoded = base64url.decode(text)
    except ValueError:
        return
    assert b64(decoded) == text


@given(st.dictionaries(st.text(max_size=10), json_values, max_size=6))
@MANY
def test_strict_json_reads_what_json_reads_or_refuses(value: dict[str, object]) -> None:
    text = json.dumps(value)
    try:
        found = strict_json.parse_object(text.encode())
    except strict_json.NotStrictJson:
        assert "NaN" in text or "Infinity" in text or "\\ud" in text
    else:
        assert found == value


@pytest.mark.parametrize(
    "text", [b"", b" ", b"\0", b"{", b"}", b"[]", b"1", b"null", b'"x"', b"{}{}", b"\xef\xbb\xbf{}"]
)
def test_strict_json_takes_objects_only(text: bytes) -> None:
    with pytest.raises(strict_json.NotStrictJson):
        strict_json.parse_object(text)
