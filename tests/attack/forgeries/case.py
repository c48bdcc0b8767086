"""One case of the tables, and how tables of cases are written."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tests.attack.forger import World

Forge = Callable[[World], str]
V = TypeVar("V")

VALID = "valid"
MALFORMED = "malformed_token"
TOO_LARGE = "token_too_large"
ENCRYPTED = "encrypted_token"
HEADER = "unsupported_header"
ALGORITHM = "unsupported_algorithm"
KEY_ID = "malformed_key_id"
GRAPH = "graph_token"
ISSUER = "wrong_issuer"
TENANT = "wrong_tenant"
VERSION = "wrong_version"
AUDIENCE = "wrong_audience"
UNKNOWN_KEY = "unknown_signing_key"
SIGNATURE = "wrong_signature"
TIMES = "malformed_times"
EXPIRED = "token_expired"
TOO_EARLY = "token_not_yet_valid"
TOO_LONG = "lifetime_too_long"
CLAIMS = "malformed_claims"


@dataclass(frozen=True)
class Forgery:
    """One case.

    Attributes:
        row: the attack's number in docs/tokens.md.
        expected: `valid`, or the error code of validate-token.
        bearer: the status with which this API answers it as a credential.
        http: the status of validate-token over HTTP.
    """

    row: int
    name: str
    forge: Forge
    expected: str
    bearer: int
    http: int

    @property
    def id(self) -> str:
        return f"{self.row}-{self.name}"


def case(
    row: int, name: str, expected: str, forge: Forge, *, bearer: int | None = None, http: int | None = None
) -> Forgery:
    usual = 200 if expected == VALID else 401
    return Forgery(row, name, forge, expected, bearer or usual, http or usual)


def with_claim(claim: str, world: World, value: object) -> str:
    return world.token(**{claim: value})


def each(
    row: int,
    expected: str,
    variants: Mapping[str, V],
    forge: Callable[[World, V], str],
    *,
    prefix: str = "",
    bearer: int | None = None,
) -> Iterator[Forgery]:
    """A case for each named variant of one forgery."""

    def of(variant: V) -> Forge:
        return lambda world: forge(world, variant)

    for name, variant in variants.items():
        yield case(row, prefix + name, expected, of(variant), bearer=bearer)
