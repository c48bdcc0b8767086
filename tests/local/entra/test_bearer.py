"""Graph lets nobody in without a token that it really checked."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from local.entra.control import EntraEmulator, Tenant
from tests.local.entra.conftest import Client, error_of


def asked_with(tenant: Tenant, ca_path: str, authorization: str | None) -> requests.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return requests.get(f"{tenant.graph_url}/users", headers=headers, verify=ca_path, timeout=10)


@pytest.fixture
def graph_claims(tenant: Tenant) -> Callable[..., str]:
    """Makes a token for Graph that would be good but for the changes."""

    def make(header: dict[str, Any] | None = None, **claims: Any) -> str:
        everything = {"roles": ["User.Read.All"]} | claims
        return tenant.mint_token("app", version=1, audience=tenant.url, claims=everything, header=header)

    return make


def test_a_minted_token_for_graph_is_as_good_as_a_fetched_one(
    tenant: Tenant, ca_path: str, graph_claims: Callable[..., str]
) -> None:
    assert asked_with(tenant, ca_path, f"Bearer {graph_claims()}").status_code == 200


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic YTpi"])
def test_no_token_is_refused(tenant: Tenant, ca_path: str, authorization: str | None) -> None:
    reply = asked_with(tenant, ca_path, authorization)

    assert error_of(reply) == (401, "InvalidAuthenticationToken")
    assert "Bearer" in reply.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 10},
        {"exp": None},
        {"nbf": int(time.time()) + 3600},
        {"aud": "https://vault.azure.net"},
        {"iss": "https://sts.windows.net/elsewhere/"},
        {"tid": "00000000-0000-0000-0000-000000000000"},
        {"tid": None},
    ],
)
def test_a_token_with_wrong_claims_is_refused(
    tenant: Tenant, ca_path: str, graph_claims: Callable[..., str], claims: dict[str, Any]
) -> None:
    assert error_of(asked_with(tenant, ca_path, f"Bearer {graph_claims(**claims)}"))[0] == 401


def test_a_token_for_the_app_itself_is_refused(tenant: Tenant, ca_path: str) -> None:
    assert error_of(asked_with(tenant, ca_path, f"Bearer {tenant.mint_token('app')}"))[0] == 401


def test_a_tampered_token_is_refused(tenant: Tenant, ca_path: str, graph_claims: Callable[..., str]) -> None:
    token = graph_claims()
    header, payload, signature = token.split(".")
    other = graph_claims(roles=["Directory.ReadWrite.All"]).split(".")[1]

    for forged in (f"{header}.{other}.{signature}", f"{header}.{payload}.", f"{header}.{payload}.AAAA"):
        assert error_of(asked_with(tenant, ca_path, f"Bearer {forged}"))[0] == 401


def test_another_algorithm_or_key_is_refused(tenant: Tenant, ca_path: str, graph_claims: Callable[..., str]) -> None:
    for header in ({"alg": "none"}, {"alg": "RS512"}, {"kid": "unknown"}, {"kid": None}):
        assert error_of(asked_with(tenant, ca_path, f"Bearer {graph_claims(header=header)}"))[0] == 401


def test_a_token_says_which_tenant_is_read(entra: EntraEmulator, tenant: Tenant, graph: Client) -> None:
    """Another tenant's key cannot sign for this one, once they have keys of their own."""
    other = entra.new_tenant()
    other.rotate_keys()
    payload = {"tid": tenant.id, "iss": tenant.issuers.v1, "roles": ["User.Read.All"]}
    token = other.mint_token("app", version=1, audience=tenant.url, claims=payload)

    assert error_of(asked_with(tenant, graph.ca_path, f"Bearer {token}"))[0] == 401


def test_delegated_permissions_count_too(tenant: Tenant, ca_path: str) -> None:
    ada = tenant.add_user("ada@contoso.example")
    token = tenant.mint_token("user", version=1, user=ada, audience=tenant.url, scopes="User.Read.All openid")

    assert asked_with(tenant, ca_path, f"Bearer {token}").status_code == 200
