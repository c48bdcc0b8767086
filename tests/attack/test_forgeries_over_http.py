"""The same forgeries over HTTP, through the running app: as what validate-token is asked about, and as credentials."""

from collections.abc import Iterator

import pytest

from local.azurite.azurite import Azurite
from local.entra.control import EntraEmulator
from local.stack import ApiClient, Stack, running_stack
from tests.attack.forger import World, odd_keys, rsa_key
from tests.attack.forgeries import FORGERIES, VALID, Forgery

OTHER_AUDIENCE = "a0d1e0ce-0000-4000-8000-000000000002"
LONGEST_HEADER = 32 * 1024

every_forgery = pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.id)


@pytest.fixture(scope="module")
def stack(azurite: Azurite, entra: EntraEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The app of a tenant in whose key sets odd keys stood before the app read them."""
    tenant = entra.new_tenant()
    tenant.publish_odd_keys(*odd_keys(_world(tenant.id, tenant.issuers.v2)))
    settings = {"ENTRA_VALIDATE_AUDIENCES": OTHER_AUDIENCE}
    with running_stack(azurite, entra, tenant, tmp_path_factory.mktemp("attack"), settings) as running:
        yield running


@pytest.fixture(scope="module")
def world(stack: Stack) -> World:
    kid, key = stack.entra.signing_key()
    issuers = stack.entra.issuers
    return World(stack.entra.id, issuers.v1, issuers.v2, stack.entra.client_id, OTHER_AUDIENCE, kid, key)


@pytest.fixture(scope="module")
def api(stack: Stack) -> ApiClient:
    return stack.api


@pytest.fixture(scope="module")
def anonymous(stack: Stack) -> ApiClient:
    return ApiClient(stack.url, None)


@every_forgery
def test_validate_token_gives_the_right_answer(forgery: Forgery, world: World, api: ApiClient) -> None:
    reply = api.post("validate-token", json={"token": forgery.forge(world)})

    body = reply.json()
    assert reply.status_code == forgery.http
    if reply.status_code == 200:
        assert body["valid"] is True
    elif reply.status_code == 401:
        assert (body["valid"], body["error"]) == (False, forgery.expected)
    assert "evil" not in reply.text  # nothing of a forged claim is echoed


@every_forgery
def test_the_api_lets_in_whom_it_should(forgery: Forgery, world: World, anonymous: ApiClient) -> None:
    token = forgery.forge(world)
    if not token.isascii() or not token.isprintable() or len(token) > LONGEST_HEADER:
        pytest.skip("no HTTP client can send this in a header")

    reply = anonymous.post("validate-token", json={}, headers={"Authorization": f"Bearer {token}"})

    authenticated = 422  # an empty body comes after the credentials in the order of checks
    assert reply.status_code == {200: authenticated}.get(forgery.bearer, forgery.bearer)
    if reply.status_code in (401, 403):
        assert reply.headers["WWW-Authenticate"].startswith('Bearer error="')


def test_the_table_has_cases_for_every_outcome() -> None:
    assert {forgery.bearer for forgery in FORGERIES} == {200, 401, 403}
    assert sum(forgery.expected == VALID for forgery in FORGERIES) > 40


def _world(tenant_id: str, v2_issuer: str) -> World:
    """Enough of a world to make the odd keys for."""
    return World(tenant_id, "", v2_issuer, "", "", "", rsa_key("attacker"))
