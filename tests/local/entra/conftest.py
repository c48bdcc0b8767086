"""A tenant of the test's own, and a plain HTTP client with a Graph token that unmodified msal fetched for it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msal  # type: ignore[import-untyped]
import pytest
import requests

from local.entra.control import EntraEmulator, Tenant


@dataclass
class Client:
    """Sends requests as they are written; every reply is a plain `requests.Response`."""

    tenant: Tenant
    token: str
    ca_path: str
    session: requests.Session

    def get(self, target: str, **headers: str) -> requests.Response:
        url = target if target.startswith("https://") else self.tenant.graph_url + target
        sent = {"Authorization": f"Bearer {self.token}"} | {name.replace("_", "-"): v for name, v in headers.items()}
        return self.session.get(url, headers=sent, verify=self.ca_path, timeout=30, allow_redirects=False)

    def batch(self, *urls: str, headers: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
        """The sub-responses by id: "0", "1", …"""
        requests_ = [
            {"id": str(number), "method": "GET", "url": url, "headers": headers or {}}
            for number, url in enumerate(urls)
        ]
        reply = self.post_batch({"requests": requests_})
        assert reply.status_code == 200, reply.text
        return {response["id"]: response for response in reply.json()["responses"]}

    def post_batch(self, body: Any) -> requests.Response:
        return self.session.post(
            self.tenant.graph_url + "/$batch",
            json=body,
            headers={"Authorization": f"Bearer {self.token}"},
            verify=self.ca_path,
            timeout=30,
        )

    def pages(self, target: str) -> list[dict[str, Any]]:
        """Follows nextLinks to the end."""
        pages = [self.get(target).json()]
        while "@odata.nextLink" in pages[-1]:
            pages.append(self.get(pages[-1]["@odata.nextLink"]).json())
        return pages

    def objects(self, target: str) -> list[dict[str, Any]]:
        return [item for page in self.pages(target) for item in page["value"]]


@pytest.fixture
def tenant(entra: EntraEmulator, tenant_id: str) -> Iterator[Tenant]:
    made = entra.new_tenant(tenant_id)
    yield made
    entra.forget_tenant(made)


@pytest.fixture
def ca_path(entra: EntraEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """The emulator's root, trusted by everything in this process that reads REQUESTS_CA_BUNDLE."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(entra.ca_path))
    return str(entra.ca_path)


@pytest.fixture
def client_of(ca_path: str) -> Callable[[Tenant], Client]:
    return lambda tenant: Client(tenant, graph_token(tenant), ca_path, requests.Session())


@pytest.fixture
def graph(tenant: Tenant, client_of: Callable[[Tenant], Client]) -> Client:
    return client_of(tenant)


def confidential_client(tenant: Tenant, credential: Any = None) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        tenant.client_id,
        client_credential=credential if credential is not None else tenant.client_secret,
        authority=tenant.authority,
        instance_discovery=False,
    )


def graph_token(tenant: Tenant) -> str:
    answer = confidential_client(tenant).acquire_token_for_client([tenant.graph_scope])
    token: str = answer["access_token"]
    return token


def error_of(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]
