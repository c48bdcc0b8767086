"""Which settings the Key Vault backend takes, which credential they choose, and that all that is wrong is named."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from shared.pki.errors import BackendMisconfigured
from shared.pki.keys import KeyType, generate_key, signature_hash
from shared.pki.signing.key_vault import KeyVaultBackend
from shared.pki.signing.key_vault_credential import CredentialChoice, chosen_credential, make_credential
from shared.pki.signing.loader import load_backend
from tests.support.signing_contract import NAME, NOW

APP = {
    "ENTRA_TENANT_ID": "b41b72d0-4e9f-4c26-8a69-f949f367c91d",
    "ENTRA_CLIENT_ID": "40a3b07b-04c6-46c1-a8c4-3f4b0f0b6b1f",
}
VAULT = {"CA_KEY_VAULT_URL": "https://contoso.vault.azure.net", "CA_KEY_VAULT_KEY": "user-ca"}
SECRET = {"ENTRA_CLIENT_SECRET": "not-a-real-one"}


def test_a_vault_a_key_and_a_credential_are_enough() -> None:
    assert type(load_backend("key_vault", VAULT | APP | SECRET)) is KeyVaultBackend


@pytest.mark.parametrize(
    ("settings", "choice"),
    [
        (SECRET, CredentialChoice.CLIENT_SECRET),
        ({"ENTRA_CLIENT_CERTIFICATE_PATH": "app.pem"}, CredentialChoice.CLIENT_CERTIFICATE),
        ({"ENTRA_MANAGED_IDENTITY": "true"}, CredentialChoice.MANAGED_IDENTITY),
        ({}, CredentialChoice.DEFAULT),
        (SECRET | {"CA_KEY_VAULT_CREDENTIAL": "managed_identity"}, CredentialChoice.MANAGED_IDENTITY),
        (SECRET | {"CA_KEY_VAULT_CREDENTIAL": "default"}, CredentialChoice.DEFAULT),
    ],
)
def test_the_credential_is_the_apps_own_unless_told_otherwise(
    settings: Mapping[str, str], choice: CredentialChoice
) -> None:
    assert chosen_credential(settings) is choice


def test_each_choice_makes_azure_identitys_credential(tmp_path: Path) -> None:
    key = generate_key(KeyType.RSA_2048)
    certificate = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, NOW, NOW).sign(key, signature_hash(key))
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "app.pem").write_bytes(pem)
    settings = APP | SECRET | {"ENTRA_CLIENT_CERTIFICATE_PATH": str(tmp_path / "app.pem")}

    made = {choice: type(make_credential(choice, settings)) for choice in CredentialChoice}

    assert made == {
        CredentialChoice.CLIENT_SECRET: ClientSecretCredential,
        CredentialChoice.CLIENT_CERTIFICATE: CertificateCredential,
        CredentialChoice.MANAGED_IDENTITY: ManagedIdentityCredential,
        CredentialChoice.DEFAULT: DefaultAzureCredential,
    }


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(BackendMisconfigured) as caught:
        KeyVaultBackend.from_settings(
            {
                "CA_KEY_VAULT_URL": "http://contoso.vault.azure.net",
                "CA_KEY_VAULT_KEY": "user/ca",
                "CA_KEY_VAULT_CREDENTIAL": "client_certificate",
                "CA_KEY_VAULT_VERIFY_CHALLENGE": "no",
                "CA_KEY_VAULT_CONNECTIONS": "0",
                **APP,
            }
        )

    for name in (
        "CA_KEY_VAULT_URL",
        "CA_KEY_VAULT_KEY",
        "ENTRA_CLIENT_CERTIFICATE_PATH",
        "CA_KEY_VAULT_VERIFY_CHALLENGE",
        "CA_KEY_VAULT_CONNECTIONS",
    ):
        assert name in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "contoso.vault.azure.net",
        "https://",
        "https://contoso.vault.azure.net/keys/user-ca",
        "https://me@contoso.vault.azure.net",
        "https://contoso.vault.azure.net?x=1",
    ],
)
def test_what_is_no_vault_url_is_refused(url: str) -> None:
    with pytest.raises(BackendMisconfigured, match="CA_KEY_VAULT_URL must be"):
        KeyVaultBackend.from_settings(APP | SECRET | VAULT | {"CA_KEY_VAULT_URL": url})


def test_an_unknown_credential_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BackendMisconfigured, match="managed_identity, client_secret, client_certificate, default"):
        KeyVaultBackend.from_settings(VAULT | APP | {"CA_KEY_VAULT_CREDENTIAL": "password"})


def test_the_challenge_is_verified_everywhere_but_in_development() -> None:
    unverified = VAULT | APP | SECRET | {"CA_KEY_VAULT_VERIFY_CHALLENGE": "false"}

    with pytest.raises(BackendMisconfigured, match="in Development only"):
        KeyVaultBackend.from_settings(unverified)
    KeyVaultBackend.from_settings(unverified | {"AZURE_FUNCTIONS_ENVIRONMENT": "Development"})


def test_azure_identity_is_not_imported_before_a_token_is_needed() -> None:
    program = (
        "import sys\n"
        "from shared.pki.signing.loader import load_backend\n"
        f"load_backend('key_vault', {VAULT | APP | SECRET!r})\n"
        "sys.exit('azure.identity' in sys.modules or 'msal' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
