"""Starts the Key Vault emulator and pulls its strings: what tests, benchmarks and the demo use.

with EntraEmulator.start() as entra, KeyVaultEmulator.start(entra) as key_vault:
    tenant = entra.new_tenant()
    vault = key_vault.new_vault(tenant)
    vault.arm(faults.throttled(retry_after=None, path=faults.SIGN, times=3))
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local.control_client import ControlClient, TenantCalls
from local.entra.control import App, EntraEmulator, Tenant
from local.entra.faults import Fault
from local.key_vault.roles import OFFICER, READER, USER
from local.key_vault.signatures import MadeSignature
from local.processes import ChildProcess, announcement

__all__ = ["OFFICER", "READER", "USER", "KeyVaultEmulator", "MadeSignature", "Vault", "VaultTraffic"]


@dataclass(frozen=True)
class VaultTraffic:
    """What a vault was asked since the last reset, by kind: `challenge`, `create`, `get`, `sign`, `verify`,
    `versions`, `list`, `update`, `rotate`, `delete`, `recover`, `purge`, `deleted.get`, `deleted.list`, `refused`."""

    requests: Mapping[str, int]
    statuses: Mapping[str, int]


class Vault(TenantCalls):
    """One vault at `url`, which takes the tokens of one Entra tenant."""

    def __init__(self, client: ControlClient, identifier: str, url: str) -> None:
        super().__init__(client, identifier)
        self.url = url

    def assign_roles(self, app: App, *roles: str) -> None:
        """Replaces the roles of an app: OFFICER (all of it), USER (read, sign, verify), READER, or none."""
        self._call("roles.assign", object_id=app.object_id, roles=list(roles))

    def set_attributes(
        self,
        name: str,
        version: str = "",
        *,
        enabled: bool | None = None,
        not_before: datetime | None = None,
        expires: datetime | None = None,
    ) -> None:
        """Changes a key behind the back of its users; the newest version unless one is named."""
        given = {
            "enabled": enabled,
            "nbf": int(not_before.timestamp()) if not_before else None,
            "exp": int(expires.timestamp()) if expires else None,
        }
        changes = {key: value for key, value in given.items() if value is not None}
        self._call("keys.set_attributes", name=name, version=version, attributes=changes)

    def signatures(self) -> list[MadeSignature]:
        """Every signature that the vault ever made, in order."""
        return [MadeSignature(**made) for made in self._call("signatures")]

    def arm(self, fault: Fault) -> int:
        """Arms a fault (see `local.key_vault.faults`) and returns its number."""
        number: int = self._call("faults.arm", fault=fault.to_json())
        return number

    def disarm(self, number: int | None = None) -> None:
        """Disarms one fault, or all."""
        self._call("faults.disarm", number=number)

    def struck(self, number: int) -> int:
        """How often a fault has struck."""
        count: int = self._call("faults.struck", number=number)
        return count

    def traffic(self) -> VaultTraffic:
        summary = self._call("traffic.summary")
        return VaultTraffic(summary["requests"], summary["statuses"])

    def request_log(self) -> list[dict[str, Any]]:
        log: list[dict[str, Any]] = self._call("traffic.log")
        return log

    def reset_traffic(self) -> None:
        """Forgets the counts of requests, not the signatures."""
        self._call("traffic.reset")


class KeyVaultEmulator:
    """The emulator as a child process. It shares the TLS folder, so the root, of the Entra emulator."""

    def __init__(self, process: ChildProcess, ready: dict[str, Any]) -> None:
        self.process = process
        self.ca_path = Path(ready["ca_path"])
        self.ca_bundle_path = Path(ready["ca_bundle_path"])
        self._client = ControlClient(ready["control_url"], self.ca_path, ready["control_key"])

    @classmethod
    def start(cls, entra: EntraEmulator) -> Self:
        command = [sys.executable, "-m", "local.key_vault", "--tls-dir", str(entra.tls_folder), "--until-stdin-closes"]
        process = ChildProcess("the Key Vault emulator", command)
        try:
            return cls(process, process.wait_for(announcement))
        except Exception:
            process.stop()
            raise

    def stop(self) -> None:
        self._client.close()
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def new_vault(self, tenant: Tenant, *, roles: Sequence[str] = (OFFICER,), port: int = 0) -> Vault:
        """An empty vault that takes `tenant`'s tokens and in which the tenant's app has `roles`."""
        made = self._client.call("vaults.create", authority=tenant.authority, port=port)
        vault = Vault(self._client, made["id"], made["url"])
        vault.assign_roles(tenant.app, *roles)
        return vault
