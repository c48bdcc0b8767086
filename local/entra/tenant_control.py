"""One tenant of the Entra emulator, as tests and the demo hold it."""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from local.control_client import ControlClient
from local.entra.directory_control import DirectoryControl
from local.entra.faults import Fault
from local.entra.token_control import App, TokenControl
from local.entra.tokens import Issuers


@dataclass(frozen=True)
class Traffic:
    """What the tenant was asked since the last reset: HTTP requests by kind (`users.list`, `users.get`,
    `users.delta`, `users.count`, `users.transitiveMemberOf`, `groups.…`, `batch`, `refused`, `jwks`, `discovery`,
    `token`), sub-requests of batches by kind, statuses of both, and resource units."""

    requests: Mapping[str, int]
    batched: Mapping[str, int]
    statuses: Mapping[str, int]
    resource_units: int

    @property
    def graph_requests(self) -> int:
        """HTTP requests to Graph; a batch is one."""
        return sum(n for kind, n in self.requests.items() if kind not in ("jwks", "discovery", "token"))


class Tenant(DirectoryControl, TokenControl):
    """One isolated tenant: its directory, its app registration, its keys, its faults and its counters."""

    def __init__(self, client: ControlClient, url: str, tenant_id: str, app: App) -> None:
        super().__init__(client, tenant_id)
        self.url = url
        self.app = app

    @property
    def authority(self) -> str:
        """For msal: `authority=`."""
        return f"{self.url}/{self.id}"

    @property
    def graph_url(self) -> str:
        return f"{self.url}/v1.0"

    @property
    def graph_scope(self) -> str:
        return f"{self.url}/.default"

    @property
    def issuers(self) -> Issuers:
        return Issuers(f"{self.url}/{self.id}/", f"{self.url}/{self.id}/v2.0")

    @property
    def client_id(self) -> str:
        return self.app.client_id

    @property
    def client_secret(self) -> str:
        return self.app.client_secret

    def new_app(
        self,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        graph: Sequence[str] = (),
        roles: Mapping[str, Sequence[str]] | None = None,
        certificates: Sequence[str] = (),
        token_version: Literal[1, 2] = 2,
    ) -> App:
        """Registers a client. `graph`: consented Graph permissions; `roles`: app roles granted, by resource app's
        client id; `certificates`: PEM; `token_version`: of tokens whose audience is this app."""
        app = App(client_id or str(uuid.uuid4()), client_secret or secrets.token_urlsafe(30), str(uuid.uuid4()))
        grants = {"graph": list(graph)} | {key: list(value) for key, value in (roles or {}).items()}
        self._call(
            "apps.add",
            client_id=app.client_id,
            object_id=app.object_id,
            secrets=[app.client_secret],
            certificates=list(certificates),
            grants=grants,
            token_version=token_version,
        )
        return app

    def grant(self, *permissions: str, app: App | None = None, resource: str = "graph") -> None:
        """Replaces what was consented to: Graph permissions, or app roles when `resource` is a client id."""
        client_id = (app or self.app).client_id
        self._call("apps.grant", client_id=client_id, resource=resource, permissions=list(permissions))

    def set_client_secrets(self, *values: str, app: App | None = None) -> None:
        self._call("apps.set_secrets", client_id=(app or self.app).client_id, secrets=list(values))

    def add_client_certificate(self, pem: str, app: App | None = None) -> None:
        self._call("apps.add_certificate", client_id=(app or self.app).client_id, certificate=pem)

    def arm(self, fault: Fault) -> int:
        """Arms a fault (see `local.entra.faults`) and returns its number."""
        number: int = self._call("faults.arm", fault=fault.to_json())
        return number

    def disarm(self, number: int | None = None) -> None:
        """Disarms one fault, or all."""
        self._call("faults.disarm", number=number)

    def struck(self, number: int) -> int:
        """How often a fault has struck."""
        count: int = self._call("faults.struck", number=number)
        return count

    def traffic(self) -> Traffic:
        return Traffic(**self._call("traffic.summary"))

    def request_log(self) -> list[dict[str, Any]]:
        """The last 20,000 requests: kind, method, target, status, units, batched, priority, client_request_id."""
        log: list[dict[str, Any]] = self._call("traffic.log")
        return log

    def reset_traffic(self) -> None:
        self._call("traffic.reset")

    def advance_clock(self, duration: timedelta) -> None:
        """Moves the directory's time: ages delta and page tokens and the recycle bin, not the bearer tokens."""
        self._call("clock.advance", seconds=duration.total_seconds())

    def limit_resource_units(self, per_10_seconds: int | None) -> None:
        """Turns Graph's own throttling on (real tenants: 3,500, 5,000 or 8,000) or off."""
        self._call("throttle.limit", units=per_10_seconds)
