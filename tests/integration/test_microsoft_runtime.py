"""Every function of the app, indexed and invoked by Microsoft's own worker library; not by our imitation of a host.

The app is the unpacked deployment package, and it can import nothing but what requirements.txt brings.
"""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from local.entra.directory_control import DirectoryObject
from local.stack import ABILITY, Stack, clean_environment
from tests.support.microsoft_worker import MicrosoftWorker, WorkerReply
from tests.support.ocsp import path_of, request_for_shown
from tests.support.shipped import Shipped

ENTRA = "/api/v1/entra-id"
PKI = "/api/v1/pki/{issuer_id}"
TIMERS = frozenset(
    {
        "anchor_log",
        "publish_crls",
        "publish_snapshot",
        "send_expiry_notices",
        "settle_revocations",
        "sweep_certificates",
        "sync_tenant",
    }
)


@dataclass(frozen=True)
class Case:
    """A request that a function answers with `status`; braces in path and body stand for the fixture's facts.

    A mapping as body is sent as JSON, a string names the fact whose bytes are sent.
    """

    method: str
    path: str
    body: Mapping[str, Any] | str | None = None
    status: int = 200
    content_type: str = "application/json"


CASES: Mapping[str, Case] = {
    "health": Case("GET", f"{ENTRA}/health"),
    "show_sync": Case("GET", f"{ENTRA}/sync"),
    "statistics": Case("GET", f"{ENTRA}/statistics"),
    "sync_user": Case("POST", f"{ENTRA}/sync-user", {"user_principal_name": "{upn}"}),
    "bulk_sync_users": Case(
        "POST", f"{ENTRA}/bulk-sync-users", {"user_principal_names": ["{upn}", "nobody@x.example"]}
    ),
    "provision_certificate": Case("POST", f"{ENTRA}/provision-certificate", {"user_id": "{user_id}"}, 201),
    "validate_token": Case("POST", f"{ENTRA}/validate-token", {"token": "{entra_token}"}),
    "list_users": Case("GET", f"{ENTRA}/users?recently_synced=&search=ada"),
    "show_user": Case("GET", f"{ENTRA}/users/{{user_id}}"),
    "list_certificates": Case("GET", f"{ENTRA}/certificates"),
    "list_expiring_certificates": Case("GET", f"{ENTRA}/expiring-certificates?within_days=365"),
    "show_certificate": Case("GET", f"{ENTRA}/certificates/{{certificate_id}}"),
    "revoke_certificate": Case(
        "POST", f"{ENTRA}/certificates/{{revocable_id}}/revoke", {"reason": "keyCompromise", "comment": "lost"}
    ),
    "renew_certificate": Case("POST", f"{ENTRA}/certificates/{{renewable_id}}/renew", {"format": "pkcs12"}, 201),
    "release_certificate": Case("POST", f"{ENTRA}/certificates/{{held_id}}/release"),
    "openapi": Case("GET", "/api/openapi.json"),
    "docs_page": Case("GET", "/api/docs", content_type="text/html"),
    "docs_asset": Case("GET", "/api/docs/start.js", content_type="text/javascript"),
    "start_sync": Case("POST", f"{ENTRA}/sync", {}, 202),
    "pki_ca_crt": Case("GET", f"{PKI}/ca.crt", content_type="application/pkix-cert"),
    "pki_ca_pem": Case("GET", f"{PKI}/ca.pem", content_type="application/x-pem-file"),
    "pki_chain_pem": Case("GET", f"{PKI}/chain.pem", content_type="application/x-pem-file"),
    "pki_crl": Case("GET", f"{PKI}/crl", content_type="application/pkix-crl"),
    "pki_crl_pem": Case("GET", f"{PKI}/crl.pem", content_type="application/x-pem-file"),
    "pki_ocsp_get": Case("GET", f"{PKI}/ocsp/{{ocsp_path}}", content_type="application/ocsp-response"),
    "pki_ocsp_post": Case("POST", f"{PKI}/ocsp", "ocsp_request", content_type="application/ocsp-response"),
    "zz_unmatched": Case("GET", "/api/nowhere", status=404),
}


@dataclass(frozen=True)
class World:
    """The app in Microsoft's worker, with a synchronized user who has a certificate."""

    worker: MicrosoftWorker
    stack: Stack
    ada: DirectoryObject
    facts: Mapping[str, Any]

    def ask(self, case: Case, *, token: str | None = None) -> WorkerReply:
        bearer = {"Authorization": f"Bearer {self.stack.token if token is None else token}"}
        body, headers = b"", bearer
        if isinstance(case.body, str):
            body, headers = self.facts[case.body], bearer | {"Content-Type": "application/ocsp-request"}
        elif case.body is not None:
            body, headers = json.dumps(self._filled(case.body)).encode(), bearer | {"Content-Type": "application/json"}
        return self.worker.request(case.method, self._filled(case.path), headers=headers, body=body)

    def provision(self) -> dict[str, Any]:
        certificate: dict[str, Any] = self.ask(CASES["provision_certificate"]).json()["certificate"]
        return certificate

    def _filled(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._filled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        whole = value.removeprefix("{").removesuffix("}")
        return self.facts[whole] if whole in self.facts and value == f"{{{whole}}}" else value.format(**self.facts)


def ocsp_facts(certificate: Mapping[str, Any]) -> dict[str, Any]:
    """An OCSP request for the certificate, as bytes and as a path segment (RFC 6960, appendix A.1)."""
    request = request_for_shown(certificate)
    return {"ocsp_request": request, "ocsp_path": path_of(request)}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """The deployment package and its packages."""
    return Shipped.unpack(tmp_path_factory.mktemp("shipped"))


@pytest.fixture(scope="module")
def world(stack: Stack, shipped: Shipped) -> Iterator[World]:
    ada = stack.entra.add_user("ada@contoso.example", displayName="Ada Lovelace")
    facts: dict[str, Any] = {
        "upn": ada.user_principal_name,
        "entra_token": stack.entra.mint_token(user=ada, roles=[ABILITY]),
    }
    with MicrosoftWorker(stack.environment, shipped.root, shipped.packages) as worker:
        world = World(worker, stack, ada, facts)
        facts["user_id"] = world.ask(CASES["sync_user"]).json()["user"]["id"]
        kept, revocable, held, renewable = (world.provision() for _ in range(4))
        facts |= {"certificate_id": kept["id"], "issuer_id": kept["issuer_id"]}
        facts |= ocsp_facts(kept)
        facts |= {"revocable_id": revocable["id"], "held_id": held["id"], "renewable_id": renewable["id"]}
        hold = Case("POST", f"{ENTRA}/certificates/{{held_id}}/revoke", {"reason": "certificateHold"})
        assert world.ask(hold).status == 200
        worker.fire_timer("publish_crls")
        worker.fire_timer("publish_snapshot")
        yield world


def test_the_library_indexes_the_functions_that_our_host_serves(world: World) -> None:
    assert set(world.worker.functions) == set(world.stack.host.functions)


def test_every_function_is_invoked_here(world: World) -> None:
    assert set(world.worker.functions) == {*CASES, *TIMERS}


@pytest.mark.parametrize("name", CASES)
def test_a_request_reaches_its_function_and_is_answered(world: World, name: str) -> None:
    reply = world.ask(CASES[name])

    assert reply.status == CASES[name].status, reply.body
    assert reply.headers["content-type"].partition(";")[0] == CASES[name].content_type
    assert reply.headers["X-Request-Id"]


@pytest.mark.parametrize("name", sorted(TIMERS))
def test_timers_run_without_an_error(world: World, name: str) -> None:
    world.worker.fire_timer(name)


def test_the_timer_brings_the_tenant_in(world: World) -> None:
    world.stack.entra.add_user("grace@contoso.example", displayName="Grace Hopper")
    deadline = time.monotonic() + 30
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < deadline:  # a sync that another test started may still be under way
        world.worker.fire_timer("sync_tenant")
        found = world.ask(Case("GET", f"{ENTRA}/users?search=grace")).json()["data"]

    assert [user["name"] for user in found] == ["Grace Hopper"]


def test_an_entra_token_opens_the_api_and_none_does_not(world: World) -> None:
    case = CASES["statistics"]

    assert world.ask(case, token=world.facts["entra_token"]).status == 200
    refused = world.ask(case, token="")
    assert (refused.status, refused.json()["message"]) == (401, "Unauthenticated.")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_known_route_with_another_method_is_a_405_that_names_the_right_one(world: World) -> None:
    reply = world.ask(Case("DELETE", f"{ENTRA}/users"))

    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


def test_both_hosts_give_the_same_reply(world: World) -> None:
    theirs = world.ask(CASES["show_user"]).json()
    ours = world.stack.api.get(f"users/{world.facts['user_id']}").json()

    assert ours == theirs


def test_an_app_without_settings_is_indexed_and_says_that_it_is_not_configured(stack: Stack, shipped: Shipped) -> None:
    with MicrosoftWorker(clean_environment(stack.folder), shipped.root, shipped.packages) as worker:
        assert set(worker.functions) == set(stack.host.functions)
        health = worker.request("GET", f"{ENTRA}/health")
        refused = worker.request("GET", f"{ENTRA}/users", headers={"Authorization": "Bearer x"})

    assert (health.status, health.json()["status"]) == (503, "unhealthy")
    assert (refused.status, refused.json()["code"]) == (503, "invalid_settings")


def test_a_pkcs12_file_survives_the_worker(world: World) -> None:
    order = {"user_id": "{user_id}", "format": "pkcs12", "pkcs12_password": "correct horse battery"}
    issued = world.ask(Case("POST", f"{ENTRA}/provision-certificate", order, 201)).json()

    assert base64.b64decode(issued["pkcs12"])[:1] == b"\x30"
