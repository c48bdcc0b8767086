"""The whole app with its key in a vault, watched by a collector, after a busy day."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from local.azurite.azurite import Azurite
from local.entra.control import EntraEmulator
from local.key_vault.control import KeyVaultEmulator, Vault
from local.stack import Stack, key_vault_settings, running_stack
from tests.support.otlp_collector import Collector, otlp_collector
from tests.support.telemetry_workload import Workload


@dataclass(frozen=True)
class Watched:
    stack: Stack
    vault: Vault
    collector: Collector
    done: Workload

    @property
    def log(self) -> list[str]:
        """All that the app has logged."""
        return (self.stack.folder / "functions-host.log").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def watched(azurite: Azurite, entra: EntraEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    identity = entra.tls_folder.parent  # the one that the stack trusts
    with otlp_collector(identity) as collector, KeyVaultEmulator.start(entra) as key_vault:
        tenant = entra.new_tenant()
        ada = tenant.add_user("ada@contoso.example", displayName="Ada Lovelace")
        vault = key_vault.new_vault(tenant)
        settings = {**key_vault_settings(vault), **collector.settings, "LOG_FORMAT": "json"}
        with running_stack(azurite, entra, tenant, folder, settings) as stack:
            tenant.add_user("grace@contoso.example", displayName="Grace Hopper")
            done = Workload(stack, stack.api, ada).run()
            yield Watched(stack, vault, collector, done)
