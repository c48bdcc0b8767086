"""POST /$batch: its limits, and that each request inside stands on its own."""

from typing import Any

import pytest

from local.control_client import ControlError
from local.entra import faults
from local.entra.control import Tenant
from local.entra.faults import Point
from tests.local.entra.conftest import Client, error_of


def get(request_id: str, url: str = "/users") -> dict[str, Any]:
    return {"id": request_id, "method": "GET", "url": url}


def test_twenty_requests_are_the_limit(graph: Client) -> None:
    assert graph.post_batch({"requests": [get(str(n)) for n in range(20)]}).status_code == 200
    assert error_of(graph.post_batch({"requests": [get(str(n)) for n in range(21)]})) == (400, "BadRequest")


@pytest.mark.parametrize(
    "body",
    [
        {"requests": [get("1"), get("1")]},
        {"requests": [get("a"), get("A")]},
        {"requests": []},
        {"request": [get("1")]},
        [get("1")],
        {"requests": [{"method": "GET", "url": "/users"}]},
        {"requests": [{"id": 1, "method": "GET", "url": "/users"}]},
        {"requests": [{"id": "1", "url": "/users"}]},
        {"requests": [{"id": "1", "method": "GET"}]},
        {"requests": [get("1", "https://graph.microsoft.com/v1.0/users")]},
        {"requests": [get("1") | {"headers": {"ConsistencyLevel": 1}}]},
        {"requests": [get("1") | {"body": {}}]},
        {"requests": [get("1") | {"dependsOn": ["2"]}, get("2")]},
    ],
)
def test_a_malformed_batch_fails_as_a_whole(graph: Client, body: Any) -> None:
    assert error_of(graph.post_batch(body)) == (400, "BadRequest")


def test_a_body_that_is_no_json_is_refused(graph: Client) -> None:
    reply = graph.session.post(
        graph.tenant.graph_url + "/$batch",
        data=b"{",
        headers={"Authorization": f"Bearer {graph.token}", "Content-Type": "application/json"},
        verify=graph.ca_path,
        timeout=10,
    )

    assert error_of(reply) == (400, "BadRequest")


def test_failures_inside_do_not_fail_the_batch(tenant: Tenant, graph: Client) -> None:
    ada = tenant.add_user("ada@contoso.example")

    found = graph.batch(f"/users/{ada.id}", "/users/nobody@contoso.example", "/users?$skip=1", "/nonsense")

    assert {key: response["status"] for key, response in found.items()} == {"0": 200, "1": 404, "2": 400, "3": 400}
    assert found["0"]["body"]["id"] == ada.id
    assert found["1"]["body"]["error"]["code"] == "Request_ResourceNotFound"


def test_answers_come_in_any_order(tenant: Tenant, graph: Client) -> None:
    orders = set()
    for _ in range(5):
        reply = graph.post_batch({"requests": [get(str(n)) for n in range(8)]}).json()
        orders.add(tuple(response["id"] for response in reply["responses"]))

    assert len(orders) > 1
    assert all(sorted(order) == [str(n) for n in range(8)] for order in orders)


def test_throttling_inside_strikes_single_requests(tenant: Tenant, graph: Client) -> None:
    tenant.arm(faults.throttled("7", inside_batch=True, path="second", times=1))

    found = graph.batch("/users/first@x.example", "/users/second@x.example")
    again = graph.batch("/users/second@x.example")

    assert found["0"]["status"] == 404
    assert (found["1"]["status"], found["1"]["headers"]["Retry-After"]) == (429, "7")
    assert again["0"]["status"] == 404


def test_a_connection_cannot_fail_inside_a_batch(tenant: Tenant) -> None:
    with pytest.raises(ControlError, match="no connection of its own"):
        tenant.arm(faults.dropped(at=Point.BATCH))


def test_headers_go_with_each_request_and_not_with_the_batch(tenant: Tenant, graph: Client) -> None:
    tenant.add_user("ada@contoso.example")

    assert graph.batch("/users/$count")["0"]["status"] == 400
    counted = graph.batch("/users/$count", headers={"ConsistencyLevel": "eventual"})["0"]
    assert (counted["status"], counted["body"]) == (200, 1)


def test_what_depends_on_a_failure_fails(graph: Client) -> None:
    reply = graph.post_batch({"requests": [get("1", "/users/nobody"), get("2") | {"dependsOn": ["1"]}]}).json()

    assert {response["id"]: response["status"] for response in reply["responses"]} == {"1": 404, "2": 424}


def test_next_links_inside_lead_back_to_the_same_collection(tenant: Tenant, graph: Client) -> None:
    users = {tenant.add_user(f"u{number}@contoso.example").id for number in range(5)}

    first = graph.batch("/users?$top=3&$select=id")["0"]["body"]
    second = graph.get(first["@odata.nextLink"]).json()

    assert {item["id"] for item in first["value"] + second["value"]} == users


def test_a_batch_counts_as_one_request_and_is_counted_inside_too(tenant: Tenant, graph: Client) -> None:
    tenant.reset_traffic()

    graph.batch("/users?$select=id", "/users", "/groups")

    traffic = tenant.traffic()
    assert traffic.requests == {"batch": 1}
    assert traffic.batched == {"users.list": 2, "groups.list": 1}
    assert traffic.graph_requests == 1
    assert traffic.resource_units == 1 + 2 + 1


def test_only_post_is_allowed(graph: Client) -> None:
    assert error_of(graph.get("/$batch")) == (405, "Request_BadRequest")
