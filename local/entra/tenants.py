"""The emulator's tenants, each with its own directory, app registrations, signing keys, faults and counters."""

import random
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from local.entra.directory import Directory
from local.entra.faults import FaultBoard
from local.entra.graph.throttle import UnitBucket
from local.entra.signing_keys import KeyRing, SigningKey
from local.entra.tokens import GRAPH_APP_ID, Issuers
from local.entra.traffic import Traffic

VAULT_RESOURCE = "https://vault.azure.net"
GRAPH_RESOURCE = "https://graph.microsoft.com"


@dataclass
class AppRegistration:
    """A client. `grants` holds the application permissions consented to, by resource: `graph`, or a client id."""

    client_id: str
    object_id: str
    secrets: set[str] = field(default_factory=set)
    certificates: list[x509.Certificate] = field(default_factory=list)
    grants: dict[str, tuple[str, ...]] = field(default_factory=dict)
    token_version: int = 2

    @property
    def identifier_uri(self) -> str:
        return f"api://{self.client_id}"


class Tenant:
    def __init__(self, tenant_id: str, base_url: str, common_key: SigningKey) -> None:
        self.id = tenant_id
        self.base_url = base_url
        self.clock_offset = timedelta()
        self.directory = Directory(self.clock)
        self.apps: dict[str, AppRegistration] = {}
        self.keys = KeyRing([common_key])
        self.faults = FaultBoard()
        self.traffic = Traffic()
        self.random = random.Random(tenant_id)
        self.bucket = UnitBucket()
        self.discovery_overrides: dict[int, dict[str, Any]] = {}
        """By token version: members that replace those of the discovery document."""

    def clock(self) -> datetime:
        """The directory's time, which tests move forward to age delta tokens and the recycle bin."""
        return datetime.now(UTC) + self.clock_offset

    @property
    def issuers(self) -> Issuers:
        return Issuers(f"{self.base_url}/{self.id}/", f"{self.base_url}/{self.id}/v2.0")

    def app_of_resource(self, resource: str) -> AppRegistration | None:
        """The registered app that a resource identifier (client id or api:// URI) names."""
        return self.apps.get(resource.removeprefix("api://"))

    def graph_audiences(self) -> frozenset[str]:
        return graph_audiences(self.base_url)


def graph_audiences(base_url: str) -> frozenset[str]:
    """The names under which Graph's tokens are asked for and accepted: the real one's, and this emulator's address."""
    return frozenset({GRAPH_RESOURCE, GRAPH_RESOURCE + "/", GRAPH_APP_ID, base_url, base_url + "/"})


class Tenants:
    """All tenants; thread-safe."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._lock = threading.Lock()
        self._tenants: dict[str, Tenant] = {}
        self._common_key = SigningKey.generate()

    def create(self, tenant_id: str | None) -> Tenant:
        """Raises ValueError when the id is no GUID or taken."""
        canonical = str(uuid.UUID(tenant_id)) if tenant_id else str(uuid.uuid4())
        tenant = Tenant(canonical, self.base_url, self._common_key)
        with self._lock:
            if canonical in self._tenants:
                raise ValueError(f"the tenant {canonical} exists")
            self._tenants[canonical] = tenant
        return tenant

    def find(self, tenant_id: str) -> Tenant | None:
        return self._tenants.get(tenant_id.lower())

    def forget(self, tenant_id: str) -> None:
        """Drops a tenant and frees its directory at once, which garbage collection may not see (see `bulk.load`)."""
        with self._lock:
            tenant = self._tenants.pop(tenant_id.lower(), None)
        if tenant is not None:
            tenant.directory = Directory(tenant.clock)
