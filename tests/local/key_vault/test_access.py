"""Who gets into the emulated vault, and what they are told who do not."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import SignatureAlgorithm

from local.control_client import ControlError
from local.entra.control import App, EntraEmulator, Tenant
from local.key_vault.control import OFFICER, READER, USER, KeyVaultEmulator, Vault
from tests.local.key_vault.conftest import Clients


def asked(vault: Vault, entra: EntraEmulator, path: str, token: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return requests.get(vault.url + path, headers=headers, verify=str(entra.ca_path), timeout=10)


@pytest.fixture
def vault_token(tenant: Tenant) -> Callable[..., str]:
    """Makes a token for the vault that would be good but for the changes."""

    def make(header: dict[str, Any] | None = None, **claims: Any) -> str:
        return tenant.mint_token("app", version=1, audience="https://vault.azure.net", claims=claims, header=header)

    return make


class TestAuthentication:
    def test_without_a_token_the_vault_says_where_to_get_one(
        self, vault: Vault, tenant: Tenant, entra: EntraEmulator
    ) -> None:
        reply = asked(vault, entra, "/keys?api-version=7.4")

        assert reply.status_code == 401
        assert reply.json()["error"]["code"] == "Unauthorized"
        expected = f'Bearer authorization="{tenant.authority}", resource="https://vault.azure.net"'
        assert reply.headers["WWW-Authenticate"] == expected

    def test_a_good_token_is_let_in(self, vault: Vault, entra: EntraEmulator, vault_token: Callable[..., str]) -> None:
        assert asked(vault, entra, "/keys?api-version=7.4", vault_token()).status_code == 200

    @pytest.mark.parametrize(
        "claims",
        [
            {"aud": "https://graph.microsoft.com"},
            {"aud": "https://vault.azure.net.evil.example"},
            {"iss": "https://sts.windows.net/elsewhere/"},
            {"exp": int(time.time()) - 10},
            {"exp": None},
            {"nbf": int(time.time()) + 3600},
            {"oid": None},
        ],
    )
    def test_a_token_with_wrong_claims_is_refused(
        self, vault: Vault, entra: EntraEmulator, vault_token: Callable[..., str], claims: dict[str, Any]
    ) -> None:
        reply = asked(vault, entra, "/keys?api-version=7.4", vault_token(**claims))

        assert reply.status_code == 401
        assert "WWW-Authenticate" in reply.headers

    @pytest.mark.parametrize("header", [{"kid": "unknown"}, {"kid": None}, {"alg": "none"}, {"alg": "HS256"}])
    def test_a_token_by_another_key_is_refused(
        self, vault: Vault, entra: EntraEmulator, vault_token: Callable[..., str], header: dict[str, Any]
    ) -> None:
        assert asked(vault, entra, "/keys?api-version=7.4", vault_token(header)).status_code == 401

    def test_a_tampered_token_is_refused(
        self, vault: Vault, entra: EntraEmulator, vault_token: Callable[..., str]
    ) -> None:
        header, _, signature = vault_token().split(".")
        forged = f"{header}.{vault_token(oid='somebody').split('.')[1]}.{signature}"

        assert asked(vault, entra, "/keys?api-version=7.4", forged).status_code == 401
        assert asked(vault, entra, "/keys?api-version=7.4", "nonsense").status_code == 401

    def test_a_token_of_another_tenant_is_refused(self, vault: Vault, entra: EntraEmulator) -> None:
        other = entra.new_tenant()
        token = other.mint_token("app", version=1, audience="https://vault.azure.net")

        assert asked(vault, entra, "/keys?api-version=7.4", token).status_code == 401

    def test_keys_are_followed_through_a_rollover(
        self, vault: Vault, tenant: Tenant, entra: EntraEmulator, vault_token: Callable[..., str]
    ) -> None:
        before = asked(vault, entra, "/keys?api-version=7.4", vault_token()).status_code
        tenant.rotate_keys()

        assert (before, asked(vault, entra, "/keys?api-version=7.4", vault_token()).status_code) == (200, 200)

    def test_azures_client_insists_on_a_vaults_host_unless_told_otherwise(self, vault: Vault, tenant: Tenant) -> None:
        credential = ClientSecretCredential(
            tenant.id, tenant.client_id, tenant.client_secret, authority=tenant.url, disable_instance_discovery=True
        )

        with pytest.raises(ValueError, match="does not match the requested domain"):
            KeyClient(vault.url, credential).get_key("ca")

    def test_a_wrong_secret_never_reaches_the_vault(
        self, vault: Vault, tenant: Tenant, clients_of: Callable[[App], Clients]
    ) -> None:
        stranger = App(tenant.client_id, "wrong", "")

        with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
            clients_of(stranger).keys.get_key("ca")
        assert vault.traffic().requests == {"challenge": 1}


class TestRoles:
    @pytest.mark.parametrize(
        ("role", "may_create", "may_read", "may_sign"),
        [(OFFICER, True, True, True), (USER, False, True, True), (READER, False, True, False), (None, *[False] * 3)],
    )
    def test_each_role_allows_its_own(
        self,
        vault: Vault,
        tenant: Tenant,
        clients: Clients,
        clients_of: Callable[[App], Clients],
        role: str | None,
        may_create: bool,
        may_read: bool,
        may_sign: bool,
    ) -> None:
        key = clients.keys.create_ec_key("ca")
        app = tenant.new_app()
        vault.assign_roles(app, *([role] if role else []))
        other = clients_of(app)

        def allowed(action: Callable[[], object]) -> bool:
            try:
                action()
            except HttpResponseError as error:
                assert error.status_code == 403
                assert "Caller is not authorized" in error.message
                return False
            return True

        assert allowed(lambda: other.keys.create_ec_key("mine")) is may_create
        assert allowed(lambda: other.keys.get_key("ca")) is may_read
        assert allowed(lambda: other.crypto(key).sign(SignatureAlgorithm.es256, bytes(32))) is may_sign

    def test_a_refusal_names_caller_and_action(
        self, vault: Vault, tenant: Tenant, clients_of: Callable[[App], Clients]
    ) -> None:
        app = tenant.new_app()

        with pytest.raises(HttpResponseError) as refused:
            clients_of(app).keys.get_key("ca")

        assert app.object_id in refused.value.message
        assert "Microsoft.KeyVault/vaults/keys/read" in refused.value.message

    def test_an_unknown_role_cannot_be_assigned(self, vault: Vault, tenant: Tenant) -> None:
        with pytest.raises(ControlError, match="Owner"):
            vault.assign_roles(tenant.app, "Owner")


class TestRequests:
    @pytest.mark.parametrize("version", ["", "?api-version=", "?api-version=1.0", "?api-version=7.4x"])
    def test_an_api_version_is_required(
        self, vault: Vault, entra: EntraEmulator, vault_token: Callable[..., str], version: str
    ) -> None:
        reply = asked(vault, entra, f"/keys{version}", vault_token())

        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "BadParameter")

    def test_a_name_with_other_characters_is_refused(
        self, vault: Vault, entra: EntraEmulator, vault_token: Callable[..., str]
    ) -> None:
        assert asked(vault, entra, "/keys/a_b?api-version=7.4", vault_token()).status_code == 400

    def test_what_this_emulator_lacks_does_not_look_like_the_services_answer(
        self, vault: Vault, entra: EntraEmulator, vault_token: Callable[..., str]
    ) -> None:
        reply = asked(vault, entra, "/secrets?api-version=7.4", vault_token())

        assert (reply.status_code, reply.json()["error"]["code"]) == (501, "NotEmulated")


def test_vaults_are_apart(key_vault: KeyVaultEmulator, tenant: Tenant, clients: Clients) -> None:
    other = key_vault.new_vault(tenant)
    clients.keys.create_ec_key("ca")

    assert other.url != clients.vault.url
    assert list(Clients(other, clients.credential).keys.list_properties_of_keys()) == []
