"""Weak keys of each kind are told apart from good ones."""

import math
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from shared.pki.good_key import BadKey, check_public_key
from shared.pki.keys import KeyType
from tests.support.issuers import key_of


@pytest.mark.parametrize("key_type", [pytest.param(key_type, id=key_type) for key_type in KeyType])
def test_good_keys_of_each_type_pass(key_type: KeyType) -> None:
    assert check_public_key(key_of(key_type).public_key())[1] is key_type


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (rsa.generate_private_key(65537, 1024).public_key(), "RSA with 1024 bits"),
        (rsa.generate_private_key(65537, 2056).public_key(), "RSA with 2056 bits"),
        (rsa.generate_private_key(3, 2048).public_key(), "exponent"),
        (ec.generate_private_key(ec.SECP256K1()).public_key(), "secp256k1"),
        (ec.generate_private_key(ec.BrainpoolP256R1()).public_key(), "brainpool"),
        (ed25519.Ed25519PrivateKey.generate().public_key(), "Ed25519"),
        (dsa.generate_private_key(2048).public_key(), "DSA"),
        ("not a key", "str"),
    ],
    ids=lambda value: value if isinstance(value, str) else "key",
)
def test_keys_of_other_kinds_are_refused(key: object, told: str) -> None:
    with pytest.raises(BadKey, match=told):
        check_public_key(key)


def test_a_modulus_with_a_small_factor_is_refused() -> None:
    for factor in (3, 743):
        modulus = factor * ((1 << 2048) // factor - 2 * secrets.randbits(1000) | 1)
        modulus -= 2 * factor if modulus.bit_length() > 2048 else 0
        assert modulus.bit_length() == 2048
        with pytest.raises(BadKey, match="small factor"):
            check_public_key(rsa.RSAPublicNumbers(65537, modulus).public_key())


def test_close_primes_are_refused() -> None:
    p = _next_prime(secrets.randbits(1024) | 3 << 1022)
    q = _next_prime(p + (1 << 500))  # so close that the first round finds it
    with pytest.raises(BadKey, match="too close"):
        check_public_key(rsa.RSAPublicNumbers(65537, p * q).public_key())


def test_keys_of_weak_infineon_chips_are_refused() -> None:
    p, q = _roca_prime(), _roca_prime()
    assert (p * q).bit_length() == 2048
    with pytest.raises(BadKey, match="ROCA"):
        check_public_key(rsa.RSAPublicNumbers(65537, p * q).public_key())


def _roca_prime() -> int:
    """A prime as those chips make it (Nemec et al., CCS 2017): k * M + (65537^a mod M), M a product of first primes."""
    product = math.prod(_first_primes(126))
    while True:
        k = (3 << 1022) // product + secrets.randbits(40)
        candidate = k * product + pow(65537, secrets.randbits(60), product)
        if candidate.bit_length() == 1024 and _is_prime(candidate):
            return candidate


def _first_primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _next_prime(start: int) -> int:
    candidate = start | 1
    while not _is_prime(candidate):
        candidate += 2
    return candidate


def _is_prime(candidate: int) -> bool:
    """Fermat's test is enough for numbers that nobody chose to fool it."""
    return all(candidate % small for small in (3, 5, 7, 11, 13)) and pow(2, candidate - 1, candidate) == 1
