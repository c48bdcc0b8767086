"""Faults strike what they are aimed at, as often as they are told to, and look like the real thing."""

import http.client
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import msal  # type: ignore[import-untyped]
import pytest
import requests

from local.entra import faults
from local.entra.bulk import BulkLoad
from local.entra.control import Tenant
from local.entra.faults import Fault, Point
from tests.local.entra.conftest import Client, confidential_client, error_of


class TestAim:
    def test_a_fault_strikes_as_often_as_it_is_told_to(self, tenant: Tenant, graph: Client) -> None:
        number = tenant.arm(faults.failing(503, times=2))

        assert [graph.get("/users").status_code for _ in range(4)] == [503, 503, 200, 200]
        assert tenant.struck(number) == 2

    def test_a_fault_can_let_some_requests_pass_first(self, tenant: Tenant, graph: Client) -> None:
        tenant.arm(faults.failing(500, skip=2))

        assert [graph.get("/users").status_code for _ in range(4)] == [200, 200, 500, 200]

    def test_a_fault_can_be_aimed_at_a_decoded_path(self, tenant: Tenant, graph: Client) -> None:
        tenant.arm(faults.failing(500, path=r"^/v1.0/users\('ada@", times=None))

        assert graph.get("/users('bob%40contoso.example')").status_code == 404
        assert graph.get("/users('ada%40contoso.example')").status_code == 500

    def test_chance_is_the_same_for_the_same_seed(self, tenant: Tenant, graph: Client) -> None:
        def outcomes() -> list[int]:
            number = tenant.arm(faults.failing(503, times=None, probability=0.5, seed=7))
            found = [graph.get("/groups").status_code for _ in range(12)]
            tenant.disarm(number)
            return found

        first = outcomes()
        assert set(first) == {200, 503}
        assert outcomes() == first

    def test_disarming_ends_a_fault(self, tenant: Tenant, graph: Client) -> None:
        tenant.arm(faults.failing(503, times=None))
        tenant.disarm()

        assert graph.get("/users").status_code == 200

    def test_two_faults_that_answer_do_not_use_each_other_up(self, tenant: Tenant, graph: Client) -> None:
        tenant.arm(faults.throttled())
        tenant.arm(faults.failing(503))

        assert [graph.get("/users").status_code for _ in range(3)] == [429, 503, 200]


class TestAnswers:
    @pytest.mark.parametrize("retry_after", ["3", "0.5", None])
    def test_throttling_comes_with_or_without_retry_after(
        self, tenant: Tenant, graph: Client, retry_after: str | None
    ) -> None:
        tenant.arm(faults.throttled(retry_after))

        reply = graph.get("/users")

        assert error_of(reply) == (429, "TooManyRequests")
        assert reply.headers.get("Retry-After") == retry_after

    def test_gone_says_where_to_start_over(self, tenant: Tenant, graph: Client) -> None:
        tenant.arm(faults.gone())

        reply = graph.get("/users/delta?$select=id")

        assert error_of(reply) == (410, "resyncRequired")
        assert reply.headers["Location"] == f"{tenant.graph_url}/users/delta?$deltatoken="
        assert graph.get(reply.headers["Location"]).status_code == 200

    def test_tokens_are_forgotten_on_demand(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=5))
        tenant.arm(faults.sync_state_not_found(404))
        tenant.arm(faults.expired_page_token())
        page, round_ = graph.get("/users?$top=2").json(), graph.get("/users/delta").json()

        assert error_of(graph.get(page["@odata.nextLink"])) == (404, "syncStateNotFound")
        assert error_of(graph.get(page["@odata.nextLink"])) == (400, "Directory_ExpiredPageToken")
        assert graph.get(page["@odata.nextLink"]).status_code == 200
        assert graph.get(round_["@odata.deltaLink"]).status_code == 200

    def test_real_throttling_counts_resource_units(self, tenant: Tenant, graph: Client) -> None:
        tenant.limit_resource_units(10)

        replies = [graph.get("/users") for _ in range(6)]

        assert [reply.status_code for reply in replies] == [200] * 5 + [429]
        assert "x-ms-throttle-limit-percentage" not in replies[3].headers
        assert float(replies[4].headers["x-ms-throttle-limit-percentage"]) == 1.0
        assert 1 <= int(replies[5].headers["Retry-After"]) <= 10
        assert replies[5].headers["x-ms-throttle-information"] == "ResourceUnitLimitExceeded"


class TestWire:
    def test_latency_is_added_to_each_reply(self, tenant: Tenant, graph: Client) -> None:
        graph.get("/users")
        tenant.arm(faults.slow(0.15))
        started = time.monotonic()
        for _ in range(2):
            graph.get("/users")

        assert 0.3 <= time.monotonic() - started < 2

    def test_a_dropped_connection_answers_nothing(self, tenant: Tenant, graph: Client) -> None:
        tenant.arm(faults.dropped())

        with pytest.raises(requests.ConnectionError):
            graph.get("/users")
        assert graph.get("/users").status_code == 200

    def test_a_truncated_body_ends_too_soon(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=50))
        tenant.arm(faults.truncated(0.5))

        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            graph.get("/users")

    def test_connections_are_kept_alive(self, tenant: Tenant, graph: Client) -> None:
        context = ssl.create_default_context(cafile=graph.ca_path)
        connection = http.client.HTTPSConnection("127.0.0.1", urlsplit(tenant.url).port, context=context)
        connection.connect()
        kept = connection.sock
        for _ in range(3):
            connection.request("GET", "/v1.0/users", headers={"Authorization": f"Bearer {graph.token}"})
            assert connection.getresponse().read()

        assert connection.sock is kept
        connection.close()


class TestPages:
    def test_a_page_can_be_replayed(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=250))
        tenant.arm(faults.replayed_page())

        assert [len(page["value"]) for page in graph.pages("/users/delta?$select=id")] == [200, 200, 50]

    def test_a_round_can_be_replayed(self, tenant: Tenant, graph: Client) -> None:
        link = graph.get("/users/delta?$deltatoken=latest").json()["@odata.deltaLink"]
        ada = tenant.add_user("ada@contoso.example")
        tenant.arm(faults.replayed_page())

        first = graph.get(link).json()
        second = graph.get(first["@odata.deltaLink"]).json()
        third = graph.get(second["@odata.deltaLink"]).json()

        assert [[item["id"] for item in page["value"]] for page in (first, second, third)] == [[ada.id], [ada.id], []]

    def test_objects_can_come_twice(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        tenant.arm(faults.duplicated_objects())

        assert [item["id"] for item in graph.get("/users/delta").json()["value"]] == [ada.id, ada.id]

    def test_a_first_round_can_tell_of_removed_strangers(self, tenant: Tenant, graph: Client) -> None:
        ada, bob = tenant.add_user("ada@contoso.example"), tenant.add_user("bob@contoso.example")
        tenant.delete(bob)
        tenant.arm(faults.removed_strangers())

        items = graph.get("/users/delta?$select=id").json()["value"]

        assert items[0] == {"id": ada.id}
        assert {"id": bob.id, "@removed": {"reason": "changed"}} in items
        assert len([item for item in items if "@removed" in item]) > 1

    def test_a_directory_can_look_empty(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=150))
        number = tenant.arm(faults.empty(times=None))

        listed = graph.get("/users").json()
        counted = graph.get("/users/$count", ConsistencyLevel="eventual").text
        delta = graph.get("/users/delta").json()
        tenant.disarm(number)

        assert (listed["value"], counted, delta["value"]) == ([], "0", [])
        assert "@odata.nextLink" not in listed
        assert len(graph.objects("/users")) == 150

    def test_a_page_can_lose_its_next_link(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=150))
        tenant.arm(faults.no_next_link())

        assert len(graph.objects("/users")) == 100
        assert len(graph.objects("/users")) == 150

    @pytest.mark.parametrize("base", ["https://graph.evil.example", "http://127.0.0.1:8080"])
    def test_links_can_lead_elsewhere(self, tenant: Tenant, graph: Client, base: str) -> None:
        tenant.load(BulkLoad(users=150))
        tenant.arm(faults.foreign_link(base, times=2))

        assert graph.get("/users").json()["@odata.nextLink"].startswith(f"{base}/v1.0/users?")
        assert graph.get("/users/delta?$select=id").json()["@odata.deltaLink"].startswith(f"{base}/v1.0/users/delta?")

    def test_properties_can_be_missing(self, tenant: Tenant, graph: Client) -> None:
        tenant.add_user("ada@contoso.example")
        tenant.arm(faults.missing_properties("userPrincipalName", "displayName"))

        (item,) = graph.get("/users?$select=id,userPrincipalName,displayName,mail").json()["value"]

        assert set(item) == {"id", "mail"}

    def test_page_faults_strike_inside_batches_as_well(self, tenant: Tenant, graph: Client) -> None:
        tenant.add_user("ada@contoso.example")
        tenant.arm(faults.empty(at=Point.BATCH))

        assert graph.batch("/users")["0"]["body"]["value"] == []
        assert len(graph.batch("/users")["0"]["body"]["value"]) == 1


class TestSignInFaults:
    def keys(self, tenant: Tenant, ca_path: str, **options: Any) -> requests.Response:
        url = f"{tenant.authority}/discovery/v2.0/keys"
        return requests.get(url, verify=ca_path, timeout=5, allow_redirects=False, **options)

    @pytest.mark.parametrize(
        ("fault", "status", "length"),
        [
            (faults.failing(500, at=Point.JWKS), 500, None),
            (faults.body("<html>Sorry</html>", at=Point.JWKS), 200, 18),
            (faults.body("", at=Point.JWKS), 200, 0),
            (faults.body('{"keys":[]}', at=Point.JWKS), 200, 11),
            (faults.body(size=5_000_000, at=Point.JWKS), 200, 5_000_000),
            (faults.redirected("https://evil.example/keys", at=Point.JWKS), 302, 0),
        ],
    )
    def test_the_key_set_can_be_anything(
        self, tenant: Tenant, ca_path: str, fault: Fault, status: int, length: int | None
    ) -> None:
        tenant.arm(fault)

        reply = self.keys(tenant, ca_path)

        assert reply.status_code == status
        assert length is None or len(reply.content) == length
        assert self.keys(tenant, ca_path).json()["keys"]

    def test_the_key_set_can_drip(self, tenant: Tenant, ca_path: str) -> None:
        tenant.arm(faults.dripping(0.05, at=Point.JWKS))
        started = time.monotonic()
        with self.keys(tenant, ca_path, stream=True) as reply:
            assert reply.raw.read(5)

        assert time.monotonic() - started >= 0.2

    def test_the_key_endpoint_can_be_down(self, tenant: Tenant, ca_path: str) -> None:
        tenant.arm(faults.dropped(at=Point.JWKS))

        with pytest.raises(requests.ConnectionError):
            self.keys(tenant, ca_path)

    def test_fetches_are_counted(self, tenant: Tenant, ca_path: str) -> None:
        for _ in range(3):
            self.keys(tenant, ca_path)

        assert tenant.traffic().requests == {"jwks": 3}

    def test_the_token_endpoint_can_fail(self, tenant: Tenant, ca_path: str) -> None:
        tenant.arm(faults.failing(503, at=Point.TOKEN, retry_after="2"))

        with pytest.raises(msal.exceptions.MsalServiceError, match="503"):
            confidential_client(tenant).acquire_token_for_client([tenant.graph_scope])
        assert confidential_client(tenant).acquire_token_for_client([tenant.graph_scope])["access_token"]
