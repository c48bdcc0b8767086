"""One question: may this public key be certified at all? Weak, broken and odd keys are refused, with the reason."""

import math
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa

from shared.pki.keys import RSA_PUBLIC_EXPONENT, KeyType, PublicKey

FERMAT_ROUNDS = 100
"""As Boulder: finds primes closer than about the square root of their size, which no honest generator yields
(https://fermatattack.secvuln.info)."""

_SMALL_PRIMES = tuple(n for n in range(2, 752) if all(n % d for d in range(2, math.isqrt(n) + 1)))
_SIEVE = 16 * 9 * 5 * 7 * 11  # about one number in 50 is a square modulo this
_SMALL_PRIMES_PRODUCT = math.prod(_SMALL_PRIMES)
_ROCA_PRIMES = tuple(prime for prime in _SMALL_PRIMES if 3 <= prime <= 167)


class BadKey(ValueError):
    """The key must not be certified; the message is a sentence about it."""


def check_public_key(key: object) -> tuple[PublicKey, KeyType]:
    """The key with its type. Raises BadKey: of a kind not certified here, or weak."""
    key_type = KeyType.of(key)
    if key_type is None:
        raise BadKey(
            f"The key must be RSA with 2048, 3072 or 4096 bits, or EC on P-256, P-384 or P-521; it is {_kind(key)}."
        )
    if isinstance(key, rsa.RSAPublicKey):
        _check_rsa(key.public_numbers())
    return key, key_type  # type: ignore[return-value]  # KeyType.of has told its class


def _check_rsa(numbers: rsa.RSAPublicNumbers) -> None:
    if numbers.e != RSA_PUBLIC_EXPONENT:
        raise BadKey(f"The key's public exponent must be {RSA_PUBLIC_EXPONENT}.")
    if math.gcd(numbers.n, _SMALL_PRIMES_PRODUCT) != 1:
        raise BadKey("The key's modulus has a small factor.")
    if _is_roca(numbers.n):
        raise BadKey("The key was made by a device with the ROCA weakness (CVE-2017-15361).")
    if _has_close_primes(numbers.n):
        raise BadKey("The key's primes are too close to each other (CVE-2022-26320).")


def _is_roca(modulus: int) -> bool:
    """Whether the modulus is a power of 65537 modulo each of the first primes: Nemec et al., CCS 2017, 3.1."""
    return all(modulus % prime in _powers_of_65537(prime) for prime in _ROCA_PRIMES)


@cache
def _powers_of_65537(prime: int) -> frozenset[int]:
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime - 1))


def _has_close_primes(modulus: int) -> bool:
    """Fermat's factorization, for a few rounds: whether a*a - modulus is a square for an `a` just above the root.

    Most rounds are decided by small numbers: what is no square modulo _SIEVE is no square.
    """
    a = math.isqrt(modulus) + 1
    start, step = (a * a - modulus) % _SIEVE, 2 * a % _SIEVE
    squares = _squares_of_sieve()
    possible = [i for i in range(FERMAT_ROUNDS) if (start + i * (step + i)) % _SIEVE in squares]
    return any(math.isqrt(square) ** 2 == square for square in ((a + i) * (a + i) - modulus for i in possible))


@cache
def _squares_of_sieve() -> frozenset[int]:
    return frozenset(n * n % _SIEVE for n in range(_SIEVE))


def _kind(key: object) -> str:
    name = type(key).__name__.removesuffix("PublicKey")
    size = getattr(key, "key_size", None)
    curve = getattr(getattr(key, "curve", None), "name", None)
    return f"{name} {curve or ''}".strip() + (f" with {size} bits" if size else "")
