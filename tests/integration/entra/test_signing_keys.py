"""The signing-key store and the validator against the Entra emulator: rollovers, outages of every kind, floods."""

import hashlib
import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from local.entra import faults
from local.entra.control import Tenant
from local.entra.faults import Fault, Point
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.entra.tokens.claims import TokenType
from shared.entra.tokens.errors import KeysUnavailable, TokenError, TokenRejected
from shared.entra.tokens.issuers import issuer_by_discovery, issuers_of_tenant
from shared.entra.tokens.signing_keys import KeyHealth, KeyStatus, SigningKeyStore, SigningKeyStores
from shared.entra.tokens.validator import TokenValidator, ValidatorPolicy
from shared.entra.tokens.verdict_cache import VerdictCache
from tests.attack.forger import World, jwk, odd_keys, rs256, rsa_key
from tests.support.odd_server import odd_server

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass
class Instance:
    """One instance of the app, with a clock that the test moves. Verdicts are not remembered unless `remembers`."""

    tenant: Tenant
    state: StateStore | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    remembers: bool = False

    def __post_init__(self) -> None:
        self.stores = SigningKeyStores(requests.Session(), state=self.state, clock=lambda: self.now)
        policy = ValidatorPolicy(
            issuers_of_tenant(self.tenant.url, self.tenant.id),
            frozenset({self.tenant.client_id, self.tenant.app.identifier_uri}),
        )
        verdicts = VerdictCache() if self.remembers else VerdictCache(max_verdicts=0)
        self.validator = TokenValidator(policy, self.stores.of, clock=lambda: self.now, verdicts=verdicts)

    def says(self, token: str) -> str:
        try:
            return self.validator.validate(token).token_type
        except TokenRejected as rejected:
            return rejected.error
        except KeysUnavailable:
            return "unavailable"

    def token(self, **arguments: object) -> str:
        """Minted by the tenant at this instance's time."""
        return self.tenant.mint_token(issued_at=self.now.timestamp(), **arguments)  # type: ignore[arg-type]

    @property
    def store(self) -> SigningKeyStore:
        """Of v2 tokens."""
        return self.stores.of(issuers_of_tenant(self.tenant.url, self.tenant.id)[0])

    def health(self) -> KeyHealth:
        return self.store.health()

    def settle(self) -> None:
        """Waits until no refresh is under way."""
        deadline = time.monotonic() + 10
        while any(thread.name == "signing-keys" for thread in threading.enumerate()):
            assert time.monotonic() < deadline, "a refresh does not end"
            time.sleep(0.01)

    @property
    def fetches(self) -> int:
        """How many key sets the tenant was asked for."""
        return self.tenant.traffic().requests.get("jwks", 0)


@pytest.fixture
def instance(tenant: Tenant) -> Instance:
    return Instance(tenant)


def world_of(tenant: Tenant) -> World:
    kid, key = tenant.signing_key()
    return World(tenant.id, tenant.issuers.v1, tenant.issuers.v2, tenant.client_id, "", kid, key)


def test_tokens_of_every_kind_and_version_are_valid(instance: Instance) -> None:
    ada = instance.tenant.add_user("ada@contoso.example", displayName="Ada Lovelace")
    for version in (1, 2):
        for kind in ("user", "app", "id"):
            user = ada.id if kind != "app" else None
            token = instance.validator.validate(instance.token(kind=kind, version=version, user=user, roles=["r"]))
            assert token.token_type is TokenType(kind)
            assert token.tenant_id == instance.tenant.id and token.roles == ("r",)
            if kind != "app":
                assert (token.object_id, token.user_principal_name) == (ada.id, "ada@contoso.example")
    assert instance.fetches == 2  # one for each version's document


def test_a_token_for_graph_is_explained(instance: Instance) -> None:
    reply = requests.post(
        f"{instance.tenant.authority}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": instance.tenant.client_id,
            "client_secret": instance.tenant.client_secret,
            "scope": instance.tenant.graph_scope,
        },
        timeout=10,
    )
    assert instance.says(reply.json()["access_token"]) == "graph_token"
    assert instance.fetches == 0


def test_a_rollover_is_followed_and_the_old_key_serves_on(instance: Instance) -> None:
    before = instance.token()
    assert instance.says(before) == "user"
    instance.now += 5 * MINUTE
    instance.tenant.rotate_keys()

    assert [instance.says(instance.token()), instance.says(before)] == ["user", "user"]
    assert instance.fetches == 2


def test_a_key_that_is_not_published_yet_is_unknown(instance: Instance) -> None:
    kid = instance.tenant.rotate_keys(publish=False)
    assert instance.says(instance.token()) == "unknown_signing_key"
    instance.tenant.publish_key(kid)
    instance.now += 6 * MINUTE
    assert instance.says(instance.token()) == "user"


def test_a_withdrawn_key_serves_until_it_is_dropped(instance: Instance) -> None:
    old, _ = instance.tenant.signing_key()
    assert instance.says(instance.token()) == "user"
    instance.tenant.rotate_keys()
    instance.tenant.drop_keys(old)
    said = []
    for _ in range(5):
        said.append(instance.says(instance.token(kid=old)))
        instance.says(instance.token())
        instance.now += HOUR
        instance.says(instance.token())
        instance.settle()
    assert said == ["user"] * 3 + ["unknown_signing_key"] * 2


OUTAGES: dict[str, Fault] = {
    "500": faults.failing(500),
    "404": faults.failing(404),
    "429": faults.failing(429, retry_after="120"),
    "html": faults.body("<html>Our services aren't available right now</html>"),
    "empty": faults.body(""),
    "no-keys": faults.body('{"keys":[]}'),
    "only-odd-keys": faults.body('{"keys":[{"kty":"oct","kid":"x","k":"c2VjcmV0"}]}'),
    "duplicate-members": faults.body('{"keys":[],"keys":[]}'),
    "array": faults.body("[]"),
    "huge": faults.body(size=300 * 1024),
    "truncated": faults.truncated(),
    "dropped": faults.dropped(),
    "dripping": faults.dripping(0.05),
    "slow": faults.slow(30),
}


def _armed(tenant: Tenant, fault: Fault, at: Point) -> int:
    return tenant.arm(Fault(**{**fault.to_json(), "at": at, "times": None, "names": fault.names}))


@pytest.mark.parametrize("at", [Point.JWKS, Point.DISCOVERY])
@pytest.mark.parametrize("outage", OUTAGES)
def test_in_an_outage_known_keys_serve_and_unknown_ones_are_not_called_invalid(
    instance: Instance, outage: str, at: Point
) -> None:
    known = instance.token()
    assert instance.says(known) == "user"
    _armed(instance.tenant, OUTAGES[outage], at)
    instance.now += HOUR

    started = time.monotonic()
    known = instance.token()
    assert instance.says(known) == "user"
    assert time.monotonic() - started < 1
    instance.tenant.rotate_keys()
    unknown = instance.token()
    assert instance.says(unknown) == "unavailable"
    assert time.monotonic() - started < 6
    instance.settle()
    assert instance.says(unknown) == "unavailable"
    health = instance.health()
    assert (health.status, health.keys) == (KeyStatus.STALE, 1)

    instance.tenant.disarm()
    instance.now += MINUTE
    assert instance.says(unknown) == "user"


@pytest.mark.parametrize(
    ("at", "path"), [(Point.JWKS, "discovery/v2.0/keys"), (Point.DISCOVERY, "v2.0/.well-known/openid-configuration")]
)
def test_a_redirect_is_not_followed(instance: Instance, at: Point, path: str) -> None:
    """Not even to where the right answer would be."""
    instance.tenant.arm(faults.redirected(f"{instance.tenant.authority}/{path}", at=at))
    assert instance.says(instance.token()) == "unavailable"
    assert "answered 302" in str(instance.health().failure)


def test_a_cold_instance_in_an_outage_says_so_within_seconds(instance: Instance) -> None:
    _armed(instance.tenant, OUTAGES["slow"], Point.DISCOVERY)
    started = time.monotonic()
    assert instance.says(instance.token()) == "unavailable"
    assert time.monotonic() - started < 6
    health = instance.health()
    assert health.status is KeyStatus.UNAVAILABLE and "could not be read" in str(health.failure)


def test_an_instance_that_starts_in_an_outage_takes_the_keys_that_another_one_kept(
    tenant: Tenant, tables: TableStore
) -> None:
    first = Instance(tenant, StateStore(tables, tenant.id))
    tokens = [first.token(version=version) for version in (1, 2)]
    assert [first.says(token) for token in tokens] == ["user", "user"]
    first.settle()
    _armed(tenant, OUTAGES["500"], Point.DISCOVERY)
    asked = first.fetches

    second = Instance(tenant, StateStore(tables, tenant.id))
    second.now = first.now + 23 * HOUR
    assert [second.says(second.token(version=version)) for version in (1, 2)] == ["user", "user"]
    second.settle()
    assert second.fetches == asked
    third = Instance(tenant, StateStore(tables, tenant.id))
    third.now = first.now + 25 * HOUR
    assert third.says(third.token()) == "unavailable"


def test_a_spoilt_copy_is_passed_over(tenant: Tenant, tables: TableStore, caplog: pytest.LogCaptureFixture) -> None:
    state = StateStore(tables, tenant.id)
    first = Instance(tenant, state)
    first.says(first.token())
    first.settle()
    name = first.store._state_name
    kept = state.get(name)
    assert kept is not None
    state.put(name, kept.data.replace(b'"kid"', b'"kit"'))

    with caplog.at_level(logging.WARNING):
        second = Instance(tenant, state)
        assert second.says(second.token()) == "user"
    assert "cannot be used" in caplog.text


def test_ten_thousand_made_up_kids_cause_at_most_one_fetch_a_minute(instance: Instance) -> None:
    """Ten minutes' worth of them; the known key is asked for in between and keeps serving."""
    world, attacker = world_of(instance.tenant), rsa_key("attacker")
    genuine = instance.token()
    assert instance.says(genuine) == "user"
    asked = instance.fetches
    segment = world.signed(world.header(), world.claims(), rs256(attacker)).partition(".")[2]
    for at in range(10_000):
        kid = hashlib.sha256(at.to_bytes(4, "big")).hexdigest()
        header = world.signed(world.header(kid=kid), {}, lambda _: b"x").partition(".")[0]
        assert instance.says(f"{header}.{segment}") == "unknown_signing_key"
        if at % 1000 == 0:
            assert instance.says(genuine) == "user"
        instance.now += timedelta(minutes=10) / 10_000
    fetched = instance.fetches - asked
    print(f"\n10,000 made-up kids in 10 minutes: {fetched} key sets fetched")
    assert 1 <= fetched <= 10


def test_ten_thousand_made_up_kids_at_once_cause_one_fetch(instance: Instance) -> None:
    instance.says(instance.token())
    instance.now += MINUTE
    asked = instance.fetches

    def ask(start: int) -> None:
        for at in range(start, start + 1000):
            with pytest.raises(TokenRejected):
                instance.store.find(f"made-up-{at}", instance.now)

    threads = [threading.Thread(target=ask, args=(at * 1000,)) for at in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert instance.fetches - asked == 1


def test_a_wrong_signature_by_a_known_kid_causes_no_fetch(instance: Instance) -> None:
    world = world_of(instance.tenant)
    instance.says(instance.token())
    asked = instance.fetches
    for _ in range(100):
        instance.now += timedelta(seconds=30)
        forged = world.signed(world.header(), world.claims(), rs256(rsa_key("attacker")))
        assert instance.says(forged) == "wrong_signature"
    assert instance.fetches - asked == 0


def test_no_address_in_a_token_is_ever_called(instance: Instance, tmp_path: Path) -> None:
    world = world_of(instance.tenant)
    with odd_server(tmp_path) as attacker:
        url = f"{attacker.url}/keys"
        sources: dict[str, Any] = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": url}}}
        for header in ({"jku": url}, {"x5u": url}, {"kid": "attacker", "jku": url}, {}):
            instance.says(world.signed(world.header(**header), world.claims(**sources)))
        instance.says(world.token(iss=f"{attacker.url}/{instance.tenant.id}/v2.0"))
        assert instance.validator.validate(world.token(**sources)).groups_overage
        assert attacker.requests == []


def test_odd_keys_in_the_set_are_passed_over_and_logged(instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    instance.tenant.publish_odd_keys(*odd_keys(world_of(instance.tenant)))
    with caplog.at_level(logging.WARNING):
        assert instance.says(instance.token()) == "user"
    assert instance.health().keys == 3  # the true one, `placeholder`, `twice`
    assert "not an RSA key" in caplog.text


def test_a_key_of_another_tenant_is_not_ours(instance: Instance) -> None:
    kid, _ = instance.tenant.signing_key()
    instance.tenant.rotate_keys()
    instance.tenant.set_key_issuer(kid, instance.tenant.issuers.v2.replace(instance.tenant.id, "0b" * 4))
    assert instance.says(instance.token()) == "user"
    assert instance.says(instance.token(kid=kid)) == "unknown_signing_key"


@pytest.mark.parametrize(
    "members",
    [
        {"issuer": "https://login.microsoftonline.com/0b0b0b0b-0000-4000-8000-00000000000b/v2.0"},
        {"issuer": "http://127.0.0.1/7e4a0000-0000-4000-8000-00000000000a/v2.0"},
        {"issuer": 7},
        {"issuer": None},
        {"jwks_uri": "https://evil.example/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
    ],
)
def test_a_discovery_document_that_lies_is_not_believed(instance: Instance, members: dict[str, object]) -> None:
    instance.tenant.override_discovery(2, **members)
    assert instance.says(instance.token()) == "unavailable"
    assert instance.fetches == 0
    instance.tenant.override_discovery(2)
    instance.now += MINUTE
    assert instance.says(instance.token()) == "user"


def test_a_custom_issuer_is_learned_from_its_discovery_document(tenant: Tenant) -> None:
    """Known by its address alone, as `ENTRA_VALIDATE_ISSUERS` gives it."""
    source = issuer_by_discovery(f"{tenant.authority}/v2.0")
    validator = TokenValidator(
        ValidatorPolicy((source,), frozenset({tenant.client_id})), SigningKeyStores(requests.Session()).of
    )
    assert validator.validate(tenant.mint_token()).tenant_id == tenant.id
    with pytest.raises(TokenRejected) as rejected:
        validator.validate(tenant.mint_token(version=1, audience=tenant.client_id))
    assert rejected.value.error is TokenError.WRONG_ISSUER


def test_an_untrusted_certificate_is_an_outage(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert instance.says(instance.token()) == "unavailable"
    assert instance.fetches == 0


def test_published_keys_carry_the_members_that_entra_publishes(instance: Instance) -> None:
    """Keeps the emulator honest: what our own forger publishes is a part of what Entra does."""
    document = requests.get(f"{instance.tenant.authority}/discovery/v2.0/keys", timeout=10).json()
    assert set(jwk("k", rsa_key("true"))) <= set(document["keys"][0])
