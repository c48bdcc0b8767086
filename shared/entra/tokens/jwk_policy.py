"""Which of an issuer's published keys may verify tokens: RSA signing keys of sound size and make, and nothing else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import isqrt
from typing import TYPE_CHECKING, Any

from shared.entra.tokens import base64url

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

PUBLIC_EXPONENT = 65537
MIN_MODULUS_BITS = 2048  # NIST SP 800-131A
MAX_MODULUS_BITS = 4096
MAX_ENCODED_MODULUS = 700  # base64url of 4096 bits is 683 characters
MAX_KID_LENGTH = 128
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})  # RFC 7518 6.3.2, 6.4.1
TENANT_PLACEHOLDER = "{tenantid}"  # Microsoft's tenant-independent key sets


class KeyRefused(ValueError):
    """The published key is left out; the message says why."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A published key that passed the policy."""

    kid: str
    modulus: int = field(repr=False)
    issuer: str | None
    public_key: "RSAPublicKey" = field(compare=False, repr=False)
    signature_length: int
    """In bytes."""


def accepted_keys(entries: object, issuers: frozenset[str], tenant_id: str) -> tuple[dict[str, SigningKey], list[str]]:
    """The usable keys of a JWK set's `keys` by kid, and for each entry left out why.

    A kid that occurs with two different keys is left out altogether, even where only one of them passes.
    """
    accepted: dict[str, SigningKey] = {}
    refused: list[str] = []
    moduli: dict[str, set[object]] = {}
    for entry in entries if isinstance(entries, list) else []:
        try:
            if not isinstance(entry, dict):
                raise KeyRefused("not an object")
            moduli.setdefault(str(entry.get("kid")), set()).add((str(entry.get("n")), str(entry.get("e"))))
            key = accept_key(entry, issuers, tenant_id)
        except KeyRefused as reason:
            refused.append(f"{_name(entry)}: {reason}")
        else:
            accepted[key.kid] = key
    for kid, different in moduli.items():
        if len(different) > 1 and kid in accepted:
            del accepted[kid]
            refused.append(f"{kid[:MAX_KID_LENGTH]!r}: names several keys")
    return accepted, refused


def _name(entry: object) -> str:
    """For the log: published by the issuer, and still nothing to print as it is."""
    return repr(entry.get("kid"))[:MAX_KID_LENGTH] if isinstance(entry, dict) else "?"


def accept_key(jwk: Mapping[str, Any], issuers: frozenset[str], tenant_id: str) -> SigningKey:
    """The key, if it may verify RS256 signatures of one of `issuers`.

    Raises:
        KeyRefused: any rule of the policy is broken (RFC 7517 4, RFC 7518 6.3.1).
    """
    kid = jwk.get("kid")
    if type(kid) is not str or not 0 < len(kid) <= MAX_KID_LENGTH:
        raise KeyRefused("no kid")
    _check_purpose(jwk)
    issuer = jwk.get("issuer")
    if issuer is not None:
        if type(issuer) is not str or issuer.replace(TENANT_PLACEHOLDER, tenant_id) not in issuers:
            raise KeyRefused("belongs to another issuer")
        issuer = issuer.replace(TENANT_PLACEHOLDER, tenant_id)
    modulus = _number(jwk.get("n"))
    _check_numbers(modulus, _number(jwk.get("e")))
    return SigningKey(kid, modulus, issuer, _public_key(modulus), (modulus.bit_length() + 7) // 8)


def _check_purpose(jwk: Mapping[str, Any]) -> None:
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("kty") != "RSA":
        raise KeyRefused("not an RSA key")
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise KeyRefused("not for verifying signatures")
    if jwk.get("alg", "RS256") != "RS256":
        raise KeyRefused("for another algorithm")
    if not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise KeyRefused("holds private members")


def _check_numbers(modulus: int, exponent: int) -> None:
    if exponent != PUBLIC_EXPONENT:
        raise KeyRefused("the public exponent is not 65537")
    if not MIN_MODULUS_BITS <= modulus.bit_length() <= MAX_MODULUS_BITS or modulus % 2 == 0:
        raise KeyRefused("the modulus is not an odd number of 2048 to 4096 bits")
    if has_roca_fingerprint(modulus):
        raise KeyRefused("the modulus has the ROCA fingerprint")


def _number(encoded: object) -> int:
    if type(encoded) is not str or not 0 < len(encoded) <= MAX_ENCODED_MODULUS:
        raise KeyRefused("a number is missing or too long")
    try:
        return int.from_bytes(base64url.decode(encoded), "big")
    except ValueError:
        raise KeyRefused("a number is not base64url") from None


def _public_key(modulus: int) -> "RSAPublicKey":
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    try:
        return RSAPublicNumbers(PUBLIC_EXPONENT, modulus).public_key()
    except ValueError:
        raise KeyRefused("the modulus is not one of an RSA key") from None


def has_roca_fingerprint(modulus: int) -> bool:
    """Whether the modulus is one of Infineon's factorable ones (CVE-2017-15361).

    Their primes are k·M + (65537^a mod M) with M the product of the first primes, up to 701 for keys of 2048 bits and
    more, so that modulo each of these the modulus is a power of 65537 (Nemec et al., The Return of Coppersmith's
    Attack, 2017, sections 2.1 and 2.2). Of other people's moduli fewer than one in 2^150 look like that.
    """
    return all(modulus % prime in powers for prime, powers in _powers_of_65537())


@cache
def _powers_of_65537() -> tuple[tuple[int, frozenset[int]], ...]:
    primes = (number for number in range(3, 702) if all(number % divisor for divisor in range(2, isqrt(number) + 1)))
    return tuple((prime, frozenset(_powers(prime))) for prime in primes)


def _powers(prime: int) -> Iterator[int]:
    power = 1
    for _ in range(prime - 1):
        yield power
        power = power * PUBLIC_EXPONENT % prime
