"""The tenant under attack, its validators, and a clock that stands still."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from shared.entra.tokens.issuers import IssuerSource, issuers_of_tenant
from shared.entra.tokens.key_discovery import PublishedKeys, published_keys
from shared.entra.tokens.signing_keys import SigningKeyStore
from shared.entra.tokens.validator import TokenValidator, ValidatorPolicy
from tests.attack.forger import World, jwk, odd_keys, rsa_key

TENANT = "7e4a0000-0000-4000-8000-00000000000a"
AUTHORITY = "https://login.microsoftonline.com"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Validators:
    """`validate`: what validate-token uses; `api`: what authenticates the callers of this API."""

    validate: TokenValidator
    api: TokenValidator


@pytest.fixture(scope="session")
def world() -> World:
    return World(
        tenant_id=TENANT,
        v1_issuer=f"https://sts.windows.net/{TENANT}/",
        v2_issuer=f"{AUTHORITY}/{TENANT}/v2.0",
        audience="a0d1e0ce-0000-4000-8000-000000000001",
        other_audience="a0d1e0ce-0000-4000-8000-000000000002",
        kid="true-key_1",
        key=rsa_key("true"),
        clock=NOON.timestamp,
    )


@pytest.fixture(scope="session")
def validators(world: World) -> Validators:
    key_set = {"keys": [*odd_keys(world), jwk(world.kid, world.key)]}

    def store(source: IssuerSource) -> SigningKeyStore:
        def fetch() -> PublishedKeys:
            return published_keys(key_set, source, str(source.issuer), str(source.tenant_id))

        return SigningKeyStore(source, fetch, clock=lambda: NOON)

    def validator(*audiences: str) -> TokenValidator:
        policy = ValidatorPolicy(issuers_of_tenant(AUTHORITY, TENANT), frozenset(audiences))
        return TokenValidator(policy, store, clock=lambda: NOON)

    own = (world.audience, world.uri)
    return Validators(validator(*own, world.other_audience), validator(*own))
