"""A vault of the test's own, and unmodified Azure clients for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient, KeyVaultKey
from azure.keyvault.keys.crypto import CryptographyClient

from local.entra.control import App, EntraEmulator, Tenant
from local.key_vault.control import KeyVaultEmulator, Vault


@dataclass(frozen=True)
class Clients:
    """Azure's clients, signed in as one app; they retry nothing."""

    vault: Vault
    credential: ClientSecretCredential

    @property
    def keys(self) -> KeyClient:
        return KeyClient(self.vault.url, self.credential, verify_challenge_resource=False, retry_total=0)

    def crypto(self, key: KeyVaultKey | str) -> CryptographyClient:
        options: dict[str, Any] = {"verify_challenge_resource": False, "retry_total": 0}
        return CryptographyClient(key, self.credential, **options)


@pytest.fixture(scope="session")
def key_vault(entra: EntraEmulator) -> Iterator[KeyVaultEmulator]:
    with KeyVaultEmulator.start(entra) as running:
        yield running


@pytest.fixture(autouse=True)
def trust(entra: EntraEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(entra.ca_path))


@pytest.fixture
def tenant(entra: EntraEmulator, tenant_id: str) -> Iterator[Tenant]:
    made = entra.new_tenant(tenant_id)
    yield made
    entra.forget_tenant(made)


@pytest.fixture
def vault(key_vault: KeyVaultEmulator, tenant: Tenant) -> Vault:
    return key_vault.new_vault(tenant)


@pytest.fixture
def clients_of(vault: Vault, tenant: Tenant) -> Callable[[App], Clients]:
    def make(app: App) -> Clients:
        credential = ClientSecretCredential(
            tenant.id, app.client_id, app.client_secret, authority=tenant.url, disable_instance_discovery=True
        )
        return Clients(vault, credential)

    return make


@pytest.fixture
def clients(tenant: Tenant, clients_of: Callable[[App], Clients]) -> Clients:
    return clients_of(tenant.app)
