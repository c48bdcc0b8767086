"""The credential for the vault: real azure-identity against the Entra emulator, and each way to be refused."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from local.entra import faults
from local.entra.control import EntraEmulator
from local.entra.faults import Point
from local.entra.tenant_control import Tenant
from local.https_server import Reply
from shared.pki.errors import BackendMisconfigured, BackendUnavailable
from shared.pki.keys import KeyType, generate_key, signature_hash
from shared.pki.signing.key_vault_credential import VaultCredential, chosen_credential, make_credential
from tests.support.odd_server import OddServer, odd_server
from tests.support.signing_contract import NAME, NOW

SCOPE = "https://vault.azure.net/.default"
SOMEBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def tenant(entra: EntraEmulator, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(entra.ca_path))
    return entra.new_tenant()


@pytest.fixture
def settings(entra: EntraEmulator, tenant: Tenant) -> dict[str, str]:
    return {
        "ENTRA_AUTHORITY_HOST": entra.url,
        "ENTRA_TENANT_ID": tenant.id,
        "ENTRA_CLIENT_ID": tenant.client_id,
        "ENTRA_CLIENT_SECRET": tenant.client_secret,
    }


@pytest.fixture
def app_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OddServer]:
    """What Azure gives an app that has a managed identity, under the name of a loopback address."""
    with odd_server(tmp_path) as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.root))
        monkeypatch.setenv("IDENTITY_ENDPOINT", running.url)
        monkeypatch.setenv("IDENTITY_HEADER", "a header of the app's own")
        yield running


def credential(settings: Mapping[str, str]) -> VaultCredential:
    return VaultCredential(partial(make_credential, chosen_credential(settings), settings))


def token(settings: Mapping[str, str], options: TokenRequestOptions | None = None) -> AccessTokenInfo:
    return credential(settings).get_token_info(SCOPE, options=options)


def test_a_client_secret_gets_a_token(settings: dict[str, str]) -> None:
    assert token(settings).token.count(".") == 2


def test_a_client_certificate_gets_a_token(settings: dict[str, str], tenant: Tenant, tmp_path: Path) -> None:
    key = generate_key(KeyType.RSA_2048)
    certificate = (
        x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, NOW, NOW)
        .sign(key, signature_hash(key))
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "app.pem").write_bytes(private + certificate)
    tenant.add_client_certificate(certificate.decode())
    del settings["ENTRA_CLIENT_SECRET"]

    assert token(settings | {"ENTRA_CLIENT_CERTIFICATE_PATH": str(tmp_path / "app.pem")}).token.count(".") == 2


def test_a_managed_identity_gets_a_token(app_service: OddServer) -> None:
    app_service.answer = lambda _: Reply.json(
        {"access_token": "from.managed.identity", "expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"}
    )

    assert token({"ENTRA_MANAGED_IDENTITY": "true"}).token == "from.managed.identity"
    assert "resource=https" in app_service.requests[0].target


def test_a_user_assigned_identity_is_named_by_its_client_id(app_service: OddServer) -> None:
    app_service.answer = lambda _: Reply.json(
        {"access_token": "from.managed.identity", "expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"}
    )

    token({"CA_KEY_VAULT_CREDENTIAL": "managed_identity", "AZURE_CLIENT_ID": SOMEBODY})

    assert f"client_id={SOMEBODY}" in app_service.requests[0].target


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ENTRA_CLIENT_SECRET": "a-wrong-one"}, "AADSTS7000215.*the client secret is wrong"),
        ({"ENTRA_CLIENT_ID": SOMEBODY}, "AADSTS700016.*no such app registration"),
        ({"ENTRA_TENANT_ID": SOMEBODY}, "does not know the tenant"),
    ],
)
def test_a_refusal_names_its_cause_and_no_secret(settings: dict[str, str], wrong: dict[str, str], told: str) -> None:
    with pytest.raises(BackendMisconfigured, match=told) as caught:
        token(settings | wrong)

    assert "a-wrong-one" not in caught.value.message


def test_a_vault_of_another_tenant_is_told_as_such(settings: dict[str, str]) -> None:
    with pytest.raises(BackendMisconfigured, match="belongs to another tenant"):
        token(settings, {"tenant_id": SOMEBODY})


def test_a_certificate_file_that_is_not_there_is_told(settings: dict[str, str]) -> None:
    choice = {"CA_KEY_VAULT_CREDENTIAL": "client_certificate", "ENTRA_CLIENT_CERTIFICATE_PATH": "/nowhere/app.pem"}

    with pytest.raises(BackendMisconfigured, match="cannot be used"):
        token(settings | choice)


def test_a_transient_error_of_entra_is_not_called_a_misconfiguration(settings: dict[str, str], tenant: Tenant) -> None:
    tenant.arm(faults.failing(503, at=Point.TOKEN))
    source = credential(settings)

    with pytest.raises(BackendUnavailable, match="did not give a token"):
        source.get_token_info(SCOPE)
    with pytest.raises(BackendUnavailable, match="did not give a token"):
        source.get_token_info(SCOPE)
    time.sleep(1)

    assert source.get_token_info(SCOPE).token
    assert tenant.traffic().requests["token"] == 2


@pytest.mark.parametrize("fault", [faults.dropped(at=Point.TOKEN, times=None)], ids=["dropped"])
def test_a_broken_connection_to_entra_is_told(settings: dict[str, str], tenant: Tenant, fault: faults.Fault) -> None:
    tenant.arm(fault)

    with pytest.raises(BackendUnavailable):
        token(settings)


def test_an_authority_that_nobody_answers_for_is_told(settings: dict[str, str]) -> None:
    with pytest.raises(BackendUnavailable, match="Entra ID"):
        token(settings | {"ENTRA_AUTHORITY_HOST": "https://127.0.0.1:1"})


def test_many_threads_cause_one_token_request(settings: dict[str, str], tenant: Tenant) -> None:
    source = credential(settings)
    tenant.arm(faults.slow(0.2, at=Point.TOKEN))
    before = tenant.traffic().requests.get("token", 0)

    with ThreadPoolExecutor(12) as threads:
        tokens = set(threads.map(lambda _: source.get_token_info(SCOPE).token, range(12)))

    assert len(tokens) == 1
    assert tenant.traffic().requests["token"] - before == 1
