"""Which published keys may verify tokens."""

import math
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.entra.tokens.jwk_policy import KeyRefused, accept_key, accepted_keys, has_roca_fingerprint
from tests.attack.forger import ABSENT, jwk, number, rsa_key

TENANT = "7e4a0000-0000-4000-8000-00000000000a"
ISSUER = f"https://login.microsoftonline.com/{TENANT}/v2.0"
ISSUERS = frozenset({ISSUER})


def accept(**members: Any) -> None:
    accept_key(jwk("k", rsa_key("true"), **members), ISSUERS, TENANT)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"use": ABSENT},
        {"key_ops": ["verify"]},
        {"key_ops": ["sign", "verify"]},
        {"alg": "RS256"},
        {"issuer": ISSUER},
        {"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"},
        {"x5c": ["not looked at"], "x5t": "k", "cloud_instance_name": "microsoftonline.com"},
    ],
)
def test_a_signing_key_is_accepted(members: dict[str, Any]) -> None:
    accept(**members)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"kty": "oct"}, "RSA"),
        ({"kty": ABSENT}, "RSA"),
        ({"kty": ["RSA"]}, "RSA"),
        ({"use": "enc"}, "verifying"),
        ({"use": None}, "verifying"),
        ({"key_ops": []}, "verifying"),
        ({"key_ops": ["encrypt"]}, "verifying"),
        ({"key_ops": "verify"}, "verifying"),
        ({"alg": "PS256"}, "algorithm"),
        ({"alg": "HS256"}, "algorithm"),
        ({"alg": None}, "algorithm"),
        ({"d": "AQAB"}, "private"),
        ({"k": "AQAB"}, "private"),
        ({"issuer": "https://login.microsoftonline.com/0b0b0b0b-0000-4000-8000-00000000000b/v2.0"}, "another issuer"),
        ({"issuer": ""}, "another issuer"),
        ({"issuer": [ISSUER]}, "another issuer"),
        ({"e": number(1)}, "65537"),
        ({"e": number(3)}, "65537"),
        ({"e": number(65536)}, "65537"),
        ({"e": number(2**200 + 1)}, "65537"),
        ({"e": "AQAB="}, "base64url"),
        ({"e": ABSENT}, "missing"),
        ({"n": 65537}, "missing"),
        ({"n": ""}, "missing"),
        ({"n": "A" * 701}, "too long"),
        ({"n": "+/==" + "A" * 300}, "base64url"),
        ({"n": number(2**2048 - 2)}, "odd"),
        ({"n": number(2**2046 + 1)}, "2048"),
        ({"n": number(2**4096 + 1)}, "2048"),
        ({"n": number(0)}, "2048"),
    ],
)
def test_any_other_key_is_refused_with_the_reason(members: dict[str, Any], reason: str) -> None:
    with pytest.raises(KeyRefused, match=reason):
        accept(**members)


@pytest.mark.parametrize("kid", [None, 1, "", "k" * 129, ["k"]])
def test_a_key_without_a_usable_kid_is_refused(kid: object) -> None:
    with pytest.raises(KeyRefused, match="kid"):
        accept_key({**jwk("k", rsa_key("true")), "kid": kid}, ISSUERS, TENANT)


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_common_sizes_are_accepted(bits: int) -> None:
    assert accept_key(jwk("k", rsa_key("size", bits)), ISSUERS, TENANT).signature_length == bits // 8


def test_a_kid_with_two_keys_is_left_out_whichever_of_them_is_sound() -> None:
    one, two = jwk("k", rsa_key("one")), jwk("k", rsa_key("two"))
    for entries in ([one, two], [two, one], [one, {**two, "use": "enc"}], [one, {**one, "e": "Aw"}], [one, two, one]):
        assert accepted_keys(entries, ISSUERS, TENANT)[0] == {}
    assert list(accepted_keys([one, one], ISSUERS, TENANT)[0]) == ["k"]


def test_what_is_left_out_is_told() -> None:
    keys, refused = accepted_keys([jwk("k", rsa_key("one")), 7, {"kty": "oct", "kid": "s"}], ISSUERS, TENANT)
    assert (list(keys), refused) == (["k"], ["?: not an object", "'s': not an RSA key"])


@pytest.mark.parametrize("entries", [None, {}, "keys", 1])
def test_a_key_set_without_a_list_holds_no_keys(entries: object) -> None:
    assert accepted_keys(entries, ISSUERS, TENANT) == ({}, [])


def test_the_roca_fingerprint_is_found_and_nothing_else_has_it() -> None:
    assert has_roca_fingerprint(_infineon_prime(1024) * _infineon_prime(1024))
    assert not any(has_roca_fingerprint(_modulus(rsa_key(name))) for name in ("one", "two", "true"))
    with pytest.raises(KeyRefused, match="ROCA"):
        accept(n=number(_of_size(2048)))


def _primorial() -> int:
    """The product of the first 126 primes, 2 to 701: the M of Infineon's 2048-bit keys."""
    return math.prod(n for n in range(2, 702) if all(n % d for d in range(2, math.isqrt(n) + 1)))


def _infineon_prime(bits: int) -> int:
    """A number of the form k·M + (65537^a mod M); whether it is prime makes no difference to the fingerprint."""
    product = _primorial()
    return ((1 << bits) // product) * product + pow(65537, 12_345, product)


def _of_size(bits: int) -> int:
    """A fingerprinted modulus of exactly so many bits, odd."""
    product = _primorial()
    return ((3 << (bits - 2)) // product) * product + pow(65537, 777, product)


def _modulus(key: rsa.RSAPrivateKey) -> int:
    return key.public_key().public_numbers().n
