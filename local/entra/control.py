"""Starts the Entra emulator and pulls its strings: what tests, benchmarks and the demo use.

with EntraEmulator.start() as entra:
    tenant = entra.new_tenant()
    ada = tenant.add_user("ada@contoso.example", displayName="Ada Lovelace")
    tenant.arm(faults.throttled(inside_batch=True, times=2))
"""

import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from local.control_client import ControlClient
from local.entra.bulk import BulkLoad
from local.entra.directory_control import DirectoryObject, Ref, new_user
from local.entra.tenant_control import Tenant, Traffic
from local.entra.tenant_snapshot import Snapshot, SnapshotGroup, SnapshotUser
from local.entra.token_control import App
from local.processes import ChildProcess, announcement

__all__ = [
    "App",
    "BulkLoad",
    "DirectoryObject",
    "EntraEmulator",
    "Ref",
    "Snapshot",
    "SnapshotGroup",
    "SnapshotUser",
    "Tenant",
    "Traffic",
    "new_user",
]

GRAPH_PERMISSIONS = ("User.Read.All", "GroupMember.Read.All")


class EntraEmulator:
    """The emulator as a child process. `url`: its address; `ca_path`: the root to trust (REQUESTS_CA_BUNDLE)."""

    def __init__(
        self, process: ChildProcess, ready: dict[str, Any], folder: tempfile.TemporaryDirectory[str] | None
    ) -> None:
        self.process, self._folder = process, folder
        self.url: str = ready["url"]
        self.ca_path = Path(ready["ca_path"])
        self.ca_bundle_path = Path(ready["ca_bundle_path"])
        self.tls_folder = Path(ready["tls_dir"])
        self._client = ControlClient(self.url, self.ca_path, ready["control_key"])

    @property
    def pid(self) -> int:
        return self.process.pid

    @classmethod
    def start(cls, state_folder: Path | None = None, port: int = 0) -> Self:
        """Starts it; its TLS files go under `state_folder`, or a temporary folder that is removed at the end."""
        folder = tempfile.TemporaryDirectory(prefix="entra-emulator-") if state_folder is None else None
        state = state_folder or Path(folder.name if folder else "")
        arguments = ["--port", str(port), "--state-dir", str(state.resolve()), "--until-stdin-closes"]
        process = ChildProcess("the Entra emulator", [sys.executable, "-m", "local.entra", *arguments])
        try:
            return cls(process, process.wait_for(announcement), folder)
        except Exception:
            process.stop()
            raise

    def stop(self) -> None:
        self._client.close()
        self.process.stop()
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
