"""Starts the Entra emulator and pulls its strings: what tests, benchmarks and the demo use.

with EntraEmulator.start() as entra:
    tenant = entra.new_tenant()
    ada = tenant.add_user("ada@contoso.example", displayName="Ada Lovelace")
    tenant.arm(faults.throttled(inside_batch=True, times=2))
"""

import secrets
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from local.control_client import ControlClient
from local.emulator_process import EmulatorProcess
from local.entra.bulk import BulkLoad
from local.entra.faults import Fault
from local.entra.tenant_snapshot import Snapshot
from local.entra.tokens import Issuers, Kind

GRAPH_PERMISSIONS = ("User.Read.All", "GroupMember.Read.All")
VAULT_RESOURCE = "https://vault.azure.net"


@dataclass(frozen=True)
class DirectoryObject:
    """A user, group, role or unit as it was made; later changes do not show here."""

    id: str
    properties: Mapping[str, Any]

    @property
    def user_principal_name(self) -> str:
        return str(self.properties["userPrincipalName"])

    @property
    def display_name(self) -> str:
        return str(self.properties["displayName"])

    def __str__(self) -> str:
        return self.id


Ref = DirectoryObject | str
"""A directory object or its id."""


@dataclass(frozen=True)
class App:
    """A registered client."""

    client_id: str
    client_secret: str
    object_id: str

    @property
    def identifier_uri(self) -> str:
        return f"api://{self.client_id}"


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


class Tenant:
    """One isolated tenant: its directory, its app registration, its keys, its faults and its counters."""

    def __init__(self, client: ControlClient, url: str, tenant_id: str, app: App) -> None:
        self._client = client
        self.id = tenant_id
        self.app = app
        self.url = url

    # Addresses and credentials

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

    # Directory

    def add_user(self, user_principal_name: str, *, id: str | None = None, **properties: Any) -> DirectoryObject:
        """Adds a user; properties by their Graph names, None leaves one out.

        Unless given: displayName from the UPN, mail the UPN, accountEnabled true, userType Member.
        """
        return self.add_users([new_user(user_principal_name, **properties)], ids=[id])[0]

    def add_users(
        self, users: Sequence[Mapping[str, Any]], ids: Sequence[str | None] | None = None
    ) -> list[DirectoryObject]:
        """Adds users given as complete property sets (see `new_user`), in one call."""
        return self._add("user", users, ids)

    def add_group(self, display_name: str, *, id: str | None = None, **properties: Any) -> DirectoryObject:
        """Adds a security group (`groupTypes=["Unified"]` makes it a Microsoft 365 group)."""
        defaults = {"displayName": display_name, "securityEnabled": True, "mailEnabled": False}
        return self._add("group", [defaults | properties], [id])[0]

    def add_directory_role(self, display_name: str) -> DirectoryObject:
        return self._add("directoryRole", [{"displayName": display_name}])[0]

    def add_administrative_unit(self, display_name: str) -> DirectoryObject:
        return self._add("administrativeUnit", [{"displayName": display_name}])[0]

    def update_user(self, user: Ref, **properties: Any) -> None:
        """Sets properties by their Graph names, e.g. `userPrincipalName` for a rename; None makes one absent."""
        self.update_many([(user, properties)])

    def update_many(self, updates: Iterable[tuple[Ref, Mapping[str, Any]]]) -> None:
        """Any number of updates, of users and groups, in one call."""
        self._call("objects.update", updates=[{"id": str(ref), "properties": dict(p)} for ref, p in updates])

    def update_group(self, group: Ref, **properties: Any) -> None:
        self.update_many([(group, properties)])

    def disable(self, user: Ref) -> None:
        self.update_user(user, accountEnabled=False)

    def enable(self, user: Ref) -> None:
        self.update_user(user, accountEnabled=True)

    def delete(self, user_or_group: Ref) -> None:
        """Moves it to the recycle bin: `@removed`, reason changed."""
        self._call("objects.delete", id=str(user_or_group))

    def restore(self, user_or_group: Ref) -> None:
        self._call("objects.restore", id=str(user_or_group))

    def purge(self, user_or_group: Ref) -> None:
        """Removes it for good: `@removed`, reason deleted."""
        self._call("objects.purge", id=str(user_or_group))

    delete_group = delete

    def add_member(self, group: Ref, *members: Ref) -> None:
        self._call("members.add", group=str(group), members=[str(member) for member in members])

    def remove_member(self, group: Ref, member: Ref) -> None:
        self._call("members.remove", group=str(group), member=str(member))

    def load(self, plan: BulkLoad) -> None:
        """Fills the directory inside the emulator: 100,000 users and 1,000 groups in seconds."""
        self._call("directory.bulk", **asdict(plan))

    def snapshot(self) -> Snapshot:
        """The directory as plain data."""
        return Snapshot.from_json(self._call("directory.snapshot"))

    # Tokens and keys

    def mint_token(
        self,
        kind: Kind = "user",
        *,
        version: Literal[1, 2] = 2,
        user: Ref | None = None,
        audience: str | None = None,
        client_id: str | None = None,
        object_id: str | None = None,
        roles: Sequence[str] = (),
        scopes: str = "access_as_user",
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        kid: str | None = None,
        issued_at: float | None = None,
    ) -> str:
        """A token as Entra would issue it for this tenant's app, by default; `claims` and `header` replace members
        or, with None, remove them. `issued_at`: seconds since 1970. `kid`: another than the current key."""
        audience = audience or (self.app.client_id if version == 2 or kind == "id" else self.app.identifier_uri)
        token: str = self._call(
            "tokens.mint",
            kind=kind,
            version=version,
            user=str(user) if user is not None else None,
            audience=audience,
            client_id=client_id or self.app.client_id,
            object_id=object_id,
            roles=list(roles),
            scopes=scopes,
            claims=dict(claims or {}),
            header=dict(header or {}),
            kid=kid,
            issued_at=issued_at,
        )
        return token

    def sign(
        self, payload: Mapping[str, Any] | bytes, header: Mapping[str, Any] | None = None, kid: str | None = None
    ) -> str:
        """A JWS by RS256 over exactly this payload; `header` members replace the usual ones, None removes them."""
        sent = payload.hex() if isinstance(payload, bytes) else dict(payload)
        token: str = self._call("tokens.sign", payload=sent, header=dict(header or {}), kid=kid)
        return token

    def signing_key(self, kid: str | None = None) -> tuple[str, rsa.RSAPrivateKey]:
        """A key of the tenant and its kid, for tests that sign by themselves; the current one by default."""
        answer = self._call("keys.private", kid=kid)
        key = load_pem_private_key(answer["pem"].encode(), None)
        return answer["kid"], cast(rsa.RSAPrivateKey, key)

    def rotate_keys(self, *, publish: bool = True) -> str:
        """A new key signs from now on; the old ones stay published. Returns the new kid."""
        kid: str = self._call("keys.rotate", publish=publish)
        return kid

    def publish_key(self, kid: str) -> None:
        self._call("keys.publish", kid=kid)

    def drop_keys(self, *kids: str) -> None:
        """Takes keys out of the published sets; they can still sign."""
        self._call("keys.drop", kids=list(kids))

    def publish_odd_keys(self, *keys: Mapping[str, Any]) -> None:
        """Replaces the odd entries of both key sets: any JSON objects, published as they are."""
        self._call("keys.set_odd", keys=[dict(key) for key in keys])

    def set_key_issuer(self, kid: str, issuer: str) -> None:
        """The `issuer` that the v2 key set gives for this key."""
        self._call("keys.set_issuer", kid=kid, issuer=issuer)

    def override_discovery(self, version: Literal[1, 2], **members: Any) -> None:
        """Replaces members of a discovery document, e.g. issuer or jwks_uri; without members: as it should be."""
        self._call("discovery.override", version=version, members=members)

    # Faults, counters, time

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

    def _add(
        self, kind: str, objects: Sequence[Mapping[str, Any]], ids: Sequence[str | None] | None = None
    ) -> list[DirectoryObject]:
        pairs = zip(objects, ids or [None] * len(objects), strict=True)
        sent = [{"properties": dict(properties), "id": object_id} for properties, object_id in pairs]
        added = self._call("objects.add", type=kind, objects=sent)
        return [DirectoryObject(object_id, dict(item)) for object_id, item in zip(added, objects, strict=True)]

    def _call(self, verb: str, **arguments: Any) -> Any:
        return self._client.call(verb, tenant=self.id, **arguments)


def new_user(user_principal_name: str, **properties: Any) -> dict[str, Any]:
    """A user's properties with plausible defaults."""
    defaults = {
        "userPrincipalName": user_principal_name,
        "displayName": user_principal_name.partition("@")[0].replace(".", " ").title(),
        "mail": user_principal_name,
        "accountEnabled": True,
        "userType": "Member",
    }
    return defaults | properties


class EntraEmulator:
    """The emulator as a child process. `url`: its address; `ca_path`: the root to trust (REQUESTS_CA_BUNDLE)."""

    def __init__(self, process: EmulatorProcess, folder: tempfile.TemporaryDirectory[str] | None) -> None:
        self._process, self._folder = process, folder
        self.url: str = process.ready["url"]
        self.ca_path = Path(process.ready["ca_path"])
        self.ca_bundle_path = Path(process.ready["ca_bundle_path"])
        self.tls_folder = Path(process.ready["tls_dir"])
        self._client = ControlClient(self.url, self.ca_path, process.ready["control_key"])

    @classmethod
    def start(cls, state_folder: Path | None = None, port: int = 0) -> Self:
        """Starts it; its TLS files go under `state_folder`, or a temporary folder that is removed at the end."""
        folder = tempfile.TemporaryDirectory(prefix="entra-emulator-") if state_folder is None else None
        state = state_folder or Path(folder.name if folder else "")
        process = EmulatorProcess("local.entra", ["--port", str(port), "--state-dir", str(state.resolve())])
        return cls(process, folder)

    def stop(self) -> None:
        self._client.close()
        self._process.stop()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def new_tenant(
        self,
        tenant_id: str | None = None,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        permissions: Sequence[str] = GRAPH_PERMISSIONS,
        app_roles: Sequence[str] = (),
        token_version: Literal[1, 2] = 2,
        restore_reports_members: bool = True,
    ) -> Tenant:
        """An empty, isolated tenant with one registered app, `tenant.app`.

        `permissions`: the app's consented Graph permissions; `app_roles`: roles it has on itself.
        """
        created: str = self._client.call(
            "tenants.create", tenant=tenant_id, restore_reports_members=restore_reports_members
        )
        own_id = client_id or str(uuid.uuid4())
        placeholder = App(own_id, "", "")
        tenant = Tenant(self._client, self.url, created, placeholder)
        tenant.app = tenant.new_app(
            client_id=own_id,
            client_secret=client_secret,
            graph=permissions,
            roles={own_id: app_roles},
            token_version=token_version,
        )
        return tenant

    def forget_tenant(self, tenant: Tenant) -> None:
        """Frees a tenant's memory."""
        self._client.call("tenants.forget", tenant=tenant.id)
