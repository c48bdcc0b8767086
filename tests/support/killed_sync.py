"""A tenant sync in a process of its own that kills itself at a chosen request, as a lost machine would."""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from local.entra.control import Tenant
from shared.context import Actor, ActorKind, Context
from shared.directory.ledger import Ledger
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.entra.credentials import ClientSecret, EntraCredentials
from shared.entra.graph import GraphClient
from shared.entra.graph import collections as graph_collections
from shared.entra.graph.throttle import RetryPolicy
from shared.entra.graph.transport import GraphTransport
from shared.entra.tenant_sync import SyncOrder, TenantSync
from shared.pki.revocation.departures import DeparturePolicy, Departures

LEASE_TIME = timedelta(seconds=0.8)
DEPARTURES = Departures(DeparturePolicy())


@dataclass(frozen=True)
class Place:
    """Where the sync runs: what a child process needs to know."""

    connection_string: str
    ca_bundle: str
    tenant_id: str
    client_id: str
    client_secret: str
    url: str

    @classmethod
    def of(cls, tenant: Tenant, connection_string: str, ca_bundle: str) -> "Place":
        return cls(connection_string, ca_bundle, tenant.id, tenant.client_id, tenant.client_secret, tenant.url)


@dataclass(frozen=True)
class Policy:
    group_ids: tuple[str, ...] = ()
    time_budget: timedelta = timedelta(seconds=60)
    max_removals: int = 1000
    max_removals_share: float = 1.0
    rows_per_second: int = 1_000_000


def sync_once(place: Place, order: SyncOrder, die_at: int, after: bool) -> None:
    """Runs the sync; the process is gone before, or right after, its request number `die_at` to storage or Graph."""
    os.environ["REQUESTS_CA_BUNDLE"] = place.ca_bundle
    graph_collections.PAGE, graph_collections.GROUPS_PER_PAGE = 7, 3  # many pages of a small tenant
    sync = tenant_sync(place)
    countdown = _Countdown(die_at, after)
    _intercept(TableStore, "_send", countdown)
    _intercept(GraphTransport, "exchange", countdown)
    sync.run(Context(Actor(ActorKind.TIMER, "killed"), "killed"), order)


def tenant_sync(place: Place) -> TenantSync:
    tables = TableStore.from_connection_string(place.connection_string, "directory")
    credentials = EntraCredentials(
        authority_host=place.url,
        tenant_id=place.tenant_id,
        client_id=place.client_id,
        graph_host=place.url,
        proof=ClientSecret(place.client_secret),
        known_authority=False,
    )
    policy = RetryPolicy(throttled_floor=0.02, failed_floor=0.01)
    graph = GraphClient(f"{place.url}/v1.0", credentials.graph_token, retry_policy=policy)
    ledger, state = Ledger(tables, place.tenant_id), StateStore(tables, place.tenant_id)
    return TenantSync(ledger, state, graph, Policy(), observers=[DEPARTURES.observe], lease_time=LEASE_TIME)


class _Countdown:
    def __init__(self, die_at: int, after: bool) -> None:
        self._left = die_at
        self._after = after
        self._lock = threading.Lock()

    def around(self, request: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = request(*arguments, **named)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


def _intercept(owner: type, name: str, countdown: _Countdown) -> None:
    original = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **named: countdown.around(original, *arguments, **named))
