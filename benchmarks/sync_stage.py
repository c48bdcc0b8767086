"""The stage of the sync benchmarks: Azurite, the Entra emulator, a tenant, and a sync that talks to both."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from local.azurite.azurite import Azurite
from local.entra.control import EntraEmulator, Tenant
from shared.context import Actor, ActorKind, Context, Deadline
from shared.directory import pace
from shared.directory.ledger import Ledger
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.entra.credentials import ClientSecret, EntraCredentials
from shared.entra.graph import GraphClient
from shared.entra.tenant_sync import TenantSync

TABLE = "directory"


@dataclass(frozen=True)
class Policy:
    """As shared.settings.model.SyncSettings; the pace is the measurement's own."""

    rows_per_second: int
    group_ids: tuple[str, ...] = ()
    time_budget: timedelta = timedelta(hours=2)
    max_removals: int = 50
    max_removals_share: float = 0.05


@dataclass(frozen=True)
class Place:
    """What a process needs to take part: where the tenant and the table are."""

    connection_string: str
    ca_bundle: str
    url: str
    tenant_id: str
    client_id: str
    client_secret: str

    @classmethod
    def of(cls, azurite: Azurite, entra: EntraEmulator, tenant: Tenant) -> "Place":
        bundle = str(entra.ca_bundle_path)
        return cls(azurite.connection_string, bundle, tenant.url, tenant.id, tenant.client_id, tenant.client_secret)

    def tables(self) -> TableStore:
        return TableStore.from_connection_string(self.connection_string, TABLE)

    def graph(self, priority: str = "high") -> GraphClient:
        os.environ["REQUESTS_CA_BUNDLE"] = self.ca_bundle
        credentials = EntraCredentials(
            authority_host=self.url,
            tenant_id=self.tenant_id,
            client_id=self.client_id,
            graph_host=self.url,
            proof=ClientSecret(self.client_secret),
            known_authority=False,
        )
        return GraphClient(f"{self.url}/v1.0", credentials.graph_token, priority=priority)

    def tenant_sync(self, rows_per_second: int) -> TenantSync:
        """The pace given is the only one: the ledger's own, for the limit of a partition in Azure, is lifted."""
        pace.ENTITIES_PER_SECOND = float(rows_per_second)
        tables = self.tables()
        ledger, state = Ledger(tables, self.tenant_id), StateStore(tables, self.tenant_id)
        return TenantSync(ledger, state, self.graph("low"), Policy(rows_per_second))


@contextmanager
def stage() -> Iterator[tuple[Azurite, EntraEmulator]]:
    """Both servers, and the table."""
    with Azurite.start() as azurite, EntraEmulator.start() as entra:
        TableStore.from_connection_string(azurite.connection_string, TABLE).create_if_missing()
        yield azurite, entra


def context(budget: timedelta = timedelta(minutes=10)) -> Context:
    return Context(Actor(ActorKind.OPERATOR, "benchmark"), "benchmark", Deadline.after(budget))
