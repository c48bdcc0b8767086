"""A key vault to test against: the emulated one, or any other that TEST_KEY_VAULT_URL names (docs/key-vault.md)."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.keyvault.keys import KeyClient

from local.entra.control import EntraEmulator, Tenant
from local.key_vault.control import OFFICER, KeyVaultEmulator, Vault
from shared.pki.signing.key_vault import KeyVaultBackend
from shared.pki.signing.key_vault_credential import chosen_credential, make_credential

EXTERNAL = "TEST_KEY_VAULT_URL"
VERIFY_EXTERNAL = "TEST_KEY_VAULT_VERIFY_CHALLENGE"


@dataclass
class VaultUnderTest:
    """`settings` are a deployment's, but for the key's name. `emulated` and `tenant` are None for any other vault."""

    settings: Mapping[str, str]
    emulated: Vault | None = None
    tenant: Tenant | None = None
    names: list[str] = field(default_factory=list)

    def new_name(self) -> str:
        """A key name of the caller's own, cleaned up at the end."""
        name = f"entra-pki-test-{secrets.token_hex(6)}"
        self.names.append(name)
        return name

    def backend(self, name: str, **changed: str) -> KeyVaultBackend:
        """As a process of its own would build it."""
        return KeyVaultBackend.from_settings({**self.settings, "CA_KEY_VAULT_KEY": name, **changed})

    def credential(self) -> TokenCredential:
        """For Azure's own clients."""
        return cast(TokenCredential, make_credential(chosen_credential(self.settings), self.settings))

    def client(self) -> KeyClient:
        """Azure's own client, for what a test prepares."""
        verify = self.settings.get("CA_KEY_VAULT_VERIFY_CHALLENGE") != "false"
        return KeyClient(self.settings["CA_KEY_VAULT_URL"], self.credential(), verify_challenge_resource=verify)


def emulated_vault(entra: EntraEmulator, emulator: KeyVaultEmulator, *, role: str = OFFICER) -> VaultUnderTest:
    """An empty vault in a tenant of its own, whose app has the role."""
    tenant = entra.new_tenant()
    vault = emulator.new_vault(tenant, roles=(role,))
    return VaultUnderTest(vault_settings(entra, tenant, vault), vault, tenant)


def vault_settings(entra: EntraEmulator, tenant: Tenant, vault: Vault) -> dict[str, str]:
    return {
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "CA_KEY_VAULT_URL": vault.url,
        "CA_KEY_VAULT_VERIFY_CHALLENGE": "false",
        "ENTRA_AUTHORITY_HOST": entra.url,
        "ENTRA_TENANT_ID": tenant.id,
        "ENTRA_CLIENT_ID": tenant.client_id,
        "ENTRA_CLIENT_SECRET": tenant.client_secret,
    }


@contextmanager
def external_vault() -> Iterator[VaultUnderTest]:
    """The vault that the environment names, with azure-identity's default credential; its keys are deleted after."""
    vault = VaultUnderTest(
        {
            "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
            "CA_KEY_VAULT_URL": os.environ[EXTERNAL],
            "CA_KEY_VAULT_CREDENTIAL": "default",
            "CA_KEY_VAULT_VERIFY_CHALLENGE": os.environ.get(VERIFY_EXTERNAL, "true"),
            "AZURE_AUTHORITY_HOST": os.environ.get("AZURE_AUTHORITY_HOST", ""),
        }
    )
    try:
        yield vault
    finally:
        client = vault.client()
        for name in vault.names:
            _remove(client, name)


def _remove(client: KeyClient, name: str) -> None:
    with suppress(AzureError):  # never made, or deleted by the test itself
        client.begin_delete_key(name).wait()
    with suppress(AzureError):  # purging takes a permission of its own
        client.purge_deleted_key(name)
