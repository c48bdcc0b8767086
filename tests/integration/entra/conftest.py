"""A directory in the Entra emulator, a Graph client that talks to it, and a ledger on Azurite to copy it into."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from local.entra.control import EntraEmulator, Tenant
from shared.context import Actor, ActorKind, Context, Deadline
from shared.directory.ledger import Ledger
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.entra.credentials import ClientSecret, EntraCredentials
from shared.entra.graph import GraphClient
from shared.entra.graph import collections as graph_collections
from shared.entra.graph.throttle import RetryPolicy
from shared.entra.tenant_sync import TenantSync
from shared.entra.user_sync import UserSync

QUICK = RetryPolicy(throttled_floor=0.02, failed_floor=0.01)
"""The real policy with small waits, so that storms pass in a test's time."""


@pytest.fixture(scope="session")
def trusted_entra(entra: EntraEmulator) -> Iterator[EntraEmulator]:
    """The emulator, trusted by this process the way an operator would do it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(entra.ca_bundle_path))
        yield entra


@pytest.fixture
def tenant(trusted_entra: EntraEmulator, tenant_id: str) -> Iterator[Tenant]:
    """An empty tenant of the test's own, with an app that may read users and groups."""
    tenant = trusted_entra.new_tenant(tenant_id)
    yield tenant
    trusted_entra.forget_tenant(tenant)


def credentials_of(tenant: Tenant) -> EntraCredentials:
    return EntraCredentials(
        authority_host=tenant.url,
        tenant_id=tenant.id,
        client_id=tenant.client_id,
        graph_host=tenant.url,
        proof=ClientSecret(tenant.client_secret),
        known_authority=False,
    )


@pytest.fixture
def graph(tenant: Tenant) -> GraphClient:
    return GraphClient(tenant.graph_url, credentials_of(tenant).graph_token, retry_policy=QUICK)


@pytest.fixture
def user_sync(ledger: Ledger, graph: GraphClient) -> UserSync:
    return UserSync(ledger, graph)


@pytest.fixture
def context() -> Context:
    """With time enough to prepare the test, too, on a busy machine."""
    return Context(Actor(ActorKind.API_TOKEN, "1", "tests"), str(uuid.uuid4()), Deadline.after(timedelta(minutes=2)))


@dataclass(frozen=True)
class Policy:
    """shared.settings.model.SyncSettings, as far as the tenant sync looks at it, at full speed."""

    group_ids: tuple[str, ...] = ()
    time_budget: timedelta = timedelta(minutes=2)
    max_removals: int = 50
    max_removals_share: float = 0.05
    rows_per_second: int = 1_000_000


@pytest.fixture
def state(tables: TableStore, tenant_id: str) -> StateStore:
    return StateStore(tables, tenant_id)


@pytest.fixture
def tenant_sync(ledger: Ledger, state: StateStore, graph: GraphClient) -> TenantSync:
    return TenantSync(ledger, state, graph, Policy())


SyncWith = Callable[..., TenantSync]


@pytest.fixture
def sync_with(ledger: Ledger, state: StateStore, graph: GraphClient) -> SyncWith:
    """Makes a tenant sync with a policy and other arguments of the test's own."""

    def make(policy: Policy, **arguments: Any) -> TenantSync:
        return TenantSync(ledger, state, graph, policy, **arguments)

    return make


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listings in pages of a few, so that small tenants have many."""
    monkeypatch.setattr(graph_collections, "PAGE", 7)
    monkeypatch.setattr(graph_collections, "GROUPS_PER_PAGE", 3)
