"""The Graph client against a server as unforgiving as Graph: tokens, retries, paging, batches, and whom it trusts."""

from datetime import timedelta

import pytest

from local.entra import faults
from local.entra.control import Tenant, new_user
from local.entra.faults import Point
from shared.context import Deadline
from shared.entra.credentials import ClientSecret, EntraCredentials
from shared.entra.graph.batch import batch
from shared.entra.graph.client import GraphClient, values
from shared.entra.graph.errors import (
    GraphAuthenticationFailed,
    GraphNotFound,
    GraphPermissionMissing,
    GraphRefused,
    GraphReplyInvalid,
    GraphThrottled,
    GraphTimeout,
    GraphUnavailable,
    PageTokenExpired,
    ResyncRequired,
    UntrustedLink,
)
from shared.entra.graph.throttle import Priority
from tests.integration.entra.conftest import QUICK, credentials_of

USERS = "User.Read.All"


def soon() -> Deadline:
    return Deadline.after(timedelta(seconds=10))


def list_users(graph: GraphClient, deadline: Deadline | None = None) -> list[str]:
    url = graph.url("/users", {"$select": "id,userPrincipalName", "$top": "2"})
    pages = graph.pages(url, deadline or soon(), permission=USERS)
    return [each["userPrincipalName"] for page in pages for each in values(page)]


@pytest.fixture
def three(tenant: Tenant) -> list[str]:
    users = tenant.add_users([new_user(f"user{number}@contoso.example") for number in range(3)])
    return [user.user_principal_name for user in users]


def test_all_pages_are_followed(graph: GraphClient, three: list[str]) -> None:
    assert list_users(graph) == three


def test_the_priority_and_a_request_id_of_its_own_go_with_each_request(tenant: Tenant, three: list[str]) -> None:
    low = GraphClient(tenant.graph_url, credentials_of(tenant).graph_token, priority=Priority.LOW)
    list_users(low)
    log = [entry for entry in tenant.request_log() if entry["kind"] == "users.list"]
    assert {entry["priority"] for entry in log} == {"low"}
    assert len({entry["client_request_id"] for entry in log}) == len(log) == 2


def test_one_token_serves_many_requests(tenant: Tenant, graph: GraphClient, three: list[str]) -> None:
    for _ in range(3):
        list_users(graph)
    assert tenant.traffic().requests["token"] == 1


# --- What is retried, and what is not ---


@pytest.mark.parametrize(
    "fault",
    [
        faults.throttled("0.01", times=2),
        faults.throttled(None, times=2),
        faults.failing(500, "InternalServerError", times=2),
        faults.failing(503, times=1, retry_after="0.01"),
        faults.failing(504, times=1),
        faults.dropped(times=2),
        faults.truncated(times=1),
    ],
)
def test_passing_troubles_are_retried(
    tenant: Tenant, graph: GraphClient, three: list[str], fault: faults.Fault
) -> None:
    number = tenant.arm(fault)
    assert list_users(graph) == three
    assert tenant.struck(number) == fault.times
    assert graph.usage.retries == fault.times


def test_a_wait_that_would_outlast_the_deadline_is_not_begun(
    tenant: Tenant, graph: GraphClient, three: list[str]
) -> None:
    tenant.arm(faults.throttled("60", times=None))
    deadline = Deadline.after(timedelta(seconds=5))

    with pytest.raises(GraphThrottled) as refused:
        list_users(graph, deadline)

    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= timedelta(seconds=60)
    assert deadline.remaining > 4


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.throttled("0.01", times=None), (GraphThrottled, GraphTimeout)),  # the last attempt may run out of time
        (faults.failing(503, times=None), (GraphUnavailable, GraphTimeout)),
        (faults.dropped(times=None), (GraphUnavailable, GraphTimeout)),
        (faults.slow(30.0), GraphTimeout),
        (faults.dripping(0.05, times=None), GraphTimeout),
    ],
)
def test_lasting_troubles_end_at_the_deadline(
    tenant: Tenant,
    graph: GraphClient,
    three: list[str],
    fault: faults.Fault,
    error: type[Exception] | tuple[type[Exception], ...],
) -> None:
    tenant.arm(fault)
    deadline = Deadline.after(timedelta(seconds=1))
    with pytest.raises(error):
        list_users(graph, deadline)
    assert Deadline.after(timedelta(0)).at - deadline.at < 0.5


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.failing(400, "Request_BadRequest"), GraphRefused),
        (faults.failing(404, "Request_ResourceNotFound"), GraphNotFound),
        (faults.failing(400, "Directory_ExpiredPageToken"), PageTokenExpired),
        (faults.failing(410, "resyncRequired"), ResyncRequired),
        (faults.failing(400, "syncStateNotFound"), ResyncRequired),
        (faults.failing(404, "SyncStateNotFound"), ResyncRequired),
        (faults.failing(403, "Authorization_RequestDenied"), GraphPermissionMissing),
        (faults.failing(501, "NotImplemented"), GraphUnavailable),
        (faults.body("<html>Sign in</html>"), GraphReplyInvalid),
        (faults.body(""), GraphReplyInvalid),
        (faults.body('{"value": []}{}'), GraphReplyInvalid),
        (faults.body('{"value": {}}'), GraphReplyInvalid),
        (faults.body('{"value": [1]}'), GraphReplyInvalid),
        (faults.body('{"value": [], "@odata.nextLink": 5}'), GraphReplyInvalid),
        (faults.body("{}", status=204), GraphReplyInvalid),
        (faults.body(" ", size=65 * 1024 * 1024), GraphReplyInvalid),
    ],
)
def test_other_answers_are_told_apart_and_not_retried(
    tenant: Tenant, graph: GraphClient, three: list[str], fault: faults.Fault, error: type[Exception]
) -> None:
    tenant.arm(fault)
    with pytest.raises(error):
        list_users(graph)
    assert graph.usage.requests == 1


def test_a_page_that_leads_back_to_itself_is_noticed(tenant: Tenant, graph: GraphClient) -> None:
    tenant.add_user("ada@contoso.example")
    url = graph.url("/users", {"$top": "1"})
    loop = f'{{"value": [], "@odata.nextLink": "{url}"}}'
    tenant.arm(faults.body(loop, times=None))
    with pytest.raises(GraphReplyInvalid, match="circle"):
        list(graph.pages(url, soon(), permission=USERS))


# --- Tokens ---


def test_a_token_that_graph_refuses_is_renewed_once(tenant: Tenant, graph: GraphClient, three: list[str]) -> None:
    list_users(graph)
    tenant.arm(faults.failing(401, "InvalidAuthenticationToken", times=1))
    assert list_users(graph) == three
    assert tenant.traffic().requests["token"] == 2


def test_a_second_refusal_of_the_token_is_final(tenant: Tenant, graph: GraphClient, three: list[str]) -> None:
    tenant.arm(faults.failing(401, "InvalidAuthenticationToken", times=None))
    with pytest.raises(GraphAuthenticationFailed):
        list_users(graph)
    assert graph.usage.requests == 2


def test_a_wrong_client_secret_is_explained_without_being_told(tenant: Tenant, three: list[str]) -> None:
    credentials = EntraCredentials(
        authority_host=tenant.url,
        tenant_id=tenant.id,
        client_id=tenant.client_id,
        graph_host=tenant.url,
        proof=ClientSecret("not-the-secret"),
        known_authority=False,
    )
    with pytest.raises(GraphAuthenticationFailed, match="invalid_client") as refused:
        list_users(GraphClient(tenant.graph_url, credentials.graph_token))
    assert "not-the-secret" not in str(refused.value)


def test_a_missing_permission_is_named(tenant: Tenant, graph: GraphClient, three: list[str]) -> None:
    tenant.grant("GroupMember.Read.All")
    with pytest.raises(GraphPermissionMissing, match=USERS):
        list_users(graph)


# --- Whom it trusts ---


@pytest.mark.parametrize("base", ["https://127.0.0.2:1", "http://127.0.0.1:1", "https://evil.example"])
def test_a_link_to_another_host_gets_neither_token_nor_request(
    tenant: Tenant, graph: GraphClient, three: list[str], base: str
) -> None:
    tenant.arm(faults.foreign_link(base))
    with pytest.raises(UntrustedLink):
        list_users(graph)
    assert graph.usage.requests == 1


def test_a_redirect_is_not_followed(tenant: Tenant, graph: GraphClient, three: list[str]) -> None:
    tenant.arm(faults.redirected(f"{tenant.graph_url}/users"))
    with pytest.raises(GraphReplyInvalid, match="302"):
        list_users(graph)
    assert tenant.traffic().graph_requests == 1


def test_a_server_with_another_root_is_not_trusted(
    tenant: Tenant, three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = credentials_of(tenant).graph_token()
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    graph = GraphClient(tenant.graph_url, lambda fresh=False: token)
    with pytest.raises(GraphUnavailable, match="certificate"):
        list_users(graph)


# --- Counts and batches ---


def test_counts_are_read(graph: GraphClient, three: list[str]) -> None:
    assert graph.count(graph.url("/users/$count"), soon(), permission=USERS) == 3


def test_batches_of_any_size_answer_in_order(tenant: Tenant, graph: GraphClient) -> None:
    users = tenant.add_users([new_user(f"user{number}@contoso.example") for number in range(45)])

    replies = batch(graph, [f"/users/{user.id}?$select=id" for user in users], soon(), permission=USERS)

    assert [reply.json(USERS)["id"] for reply in replies] == [user.id for user in users]
    assert tenant.traffic().requests["batch"] == 3


def test_each_part_of_a_batch_has_its_own_outcome(tenant: Tenant, graph: GraphClient, three: list[str]) -> None:
    replies = batch(graph, [f"/users/{three[0]}?$select=id", "/users/nobody@x.y"], soon(), permission=USERS)
    assert [reply.status for reply in replies] == [200, 404]
    with pytest.raises(GraphNotFound):
        replies[1].json(USERS)


def test_throttled_parts_are_asked_again_alone_until_the_deadline(
    tenant: Tenant, graph: GraphClient, three: list[str]
) -> None:
    tenant.arm(faults.throttled(None, inside_batch=True, path=three[1], times=None))

    replies = batch(
        graph, [f"/users/{name}?$select=id" for name in three], Deadline.after(timedelta(seconds=2)), permission=USERS
    )

    assert [reply.status for reply in replies] == [200, 429, 200]
    assert tenant.traffic().batched["users.get"] == 2
    assert tenant.traffic().batched["refused"] > 1


def test_a_token_refused_inside_a_batch_is_renewed(tenant: Tenant, graph: GraphClient, three: list[str]) -> None:
    tenant.arm(faults.failing(401, "InvalidAuthenticationToken", at=Point.BATCH, times=1))
    replies = batch(graph, [f"/users/{name}?$select=id" for name in three], soon(), permission=USERS)
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert tenant.traffic().requests["token"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"responses": [{}]}',
        '{"responses": []}',
        '{"responses": [{"id": "7", "status": 200, "body": {}}]}',
        '{"responses": [{"id": "0", "status": "200", "body": {}}]}',
        '{"responses": [{"id": "0", "status": 200, "body": "text"}]}',
        '{"responses": [{"id": "0", "status": 200, "body": {}}, {"id": "0", "status": 200, "body": {}}]}',
    ],
)
def test_a_batch_that_does_not_answer_what_was_asked_is_refused(tenant: Tenant, graph: GraphClient, text: str) -> None:
    tenant.arm(faults.body(text))
    with pytest.raises(GraphReplyInvalid):
        batch(graph, ["/users/ada@x.y"], soon(), permission=USERS)


def test_the_client_slows_down_before_graph_has_to(tenant: Tenant, three: list[str]) -> None:
    waits: list[float] = []
    tenant.limit_resource_units(6)
    graph = GraphClient(
        tenant.graph_url,
        credentials_of(tenant).graph_token,
        priority=Priority.LOW,
        sleep=waits.append,
        retry_policy=QUICK,
    )
    for _ in range(3):
        list_users(graph)
    assert any(wait >= 0.2 for wait in waits)


def test_usage_is_counted(tenant: Tenant, graph: GraphClient, three: list[str]) -> None:
    before = graph.usage
    list_users(graph)
    batch(graph, [f"/users/{name}?$select=id" for name in three], soon(), permission=USERS)
    used = graph.usage.since(before)
    assert (used.requests, used.batched) == (3, 3)
    assert used.resource_units == tenant.traffic().resource_units
