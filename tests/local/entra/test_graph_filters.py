"""`$filter`: what it finds, and what Graph's directory refuses."""

import pytest

from local.entra.control import Tenant
from tests.local.entra.conftest import Client, error_of

UUID = "f3c5bb5a-3d2e-4c9e-8f5e-0123456789ab"


def upns(graph: Client, filter_: str, **headers: str) -> list[str]:
    reply = graph.session.get(
        graph.tenant.graph_url + "/users",
        params={"$filter": filter_, "$select": "userPrincipalName"} | ({"$count": "true"} if headers else {}),
        headers={"Authorization": f"Bearer {graph.token}"} | headers,
        verify=graph.ca_path,
        timeout=10,
    )
    assert reply.status_code == 200, reply.text
    return [item["userPrincipalName"] for item in reply.json()["value"]]


def refusal(graph: Client, filter_: str) -> tuple[int, str]:
    reply = graph.session.get(
        graph.tenant.graph_url + "/users",
        params={"$filter": filter_},
        headers={"Authorization": f"Bearer {graph.token}"},
        verify=graph.ca_path,
        timeout=10,
    )
    return error_of(reply)


@pytest.fixture
def people(tenant: Tenant) -> Tenant:
    for name in ("ada", "bob", "o'hara", "guest_x.example#EXT#"):
        tenant.add_user(f"{name}@contoso.example", department="Research" if name == "ada" else None)
    tenant.update_user(tenant.add_user("zoe@contoso.example"), accountEnabled=False)
    return tenant


@pytest.mark.usefixtures("people")
class TestMatches:
    def test_in_finds_the_named_ones_once_and_ignores_case(self, graph: Client) -> None:
        names = "'ADA@contoso.example','ada@contoso.example','nobody@contoso.example','bob@contoso.example'"

        assert upns(graph, f"userPrincipalName in ({names})") == ["ada@contoso.example", "bob@contoso.example"]

    def test_apostrophes_are_doubled(self, graph: Client) -> None:
        assert upns(graph, "userPrincipalName eq 'o''hara@contoso.example'") == ["o'hara@contoso.example"]

    def test_hash_signs_need_encoding_only(self, graph: Client) -> None:
        name = "guest_x.example#EXT#@contoso.example"

        assert upns(graph, f"userPrincipalName eq '{name}'") == [name]

    def test_ids_are_compared_as_guids(self, graph: Client, people: Tenant) -> None:
        ada = next(user for user in people.snapshot().users.values() if user.user_principal_name.startswith("ada"))

        assert upns(graph, f"id in ('{ada.id.upper()}','{UUID}')") == ["ada@contoso.example"]

    def test_conditions_combine(self, graph: Client) -> None:
        assert upns(graph, "accountEnabled eq false") == ["zoe@contoso.example"]
        assert upns(graph, "department eq 'Research' and startswith(displayName,'A')") == ["ada@contoso.example"]
        assert upns(graph, "(mail eq 'bob@contoso.example' or startswith(userPrincipalName,'zo'))") == [
            "bob@contoso.example",
            "zoe@contoso.example",
        ]

    def test_advanced_operators_need_the_advanced_header(self, graph: Client) -> None:
        assert refusal(graph, "accountEnabled ne true") == (400, "Request_UnsupportedQuery")
        assert upns(graph, "accountEnabled ne true", ConsistencyLevel="eventual") == ["zoe@contoso.example"]
        assert upns(
            graph, "endswith(mail,'example') and not (accountEnabled eq true)", ConsistencyLevel="eventual"
        ) == ["zoe@contoso.example"]


class TestRefusals:
    def test_fifteen_values_are_the_limit(self, graph: Client) -> None:
        def named(count: int) -> str:
            return "userPrincipalName in ({})".format(",".join(f"'u{n}@contoso.example'" for n in range(count)))

        assert upns(graph, named(15)) == []
        assert refusal(graph, named(16)) == (400, "Request_UnsupportedQuery")
        assert upns(graph, named(16), ConsistencyLevel="eventual") == []

    def test_fifteen_alternatives_are_the_limit_too(self, graph: Client) -> None:
        alternatives = " or ".join(f"mail eq 'u{number}@contoso.example'" for number in range(16))

        assert refusal(graph, alternatives) == (400, "Request_UnsupportedQuery")

    @pytest.mark.parametrize(
        ("filter_", "code"),
        [
            ("shoeSize eq 43", "BadRequest"),
            ("onPremisesDistinguishedName eq 'x'", "Request_UnsupportedQuery"),
            ("userPrincipalName eq 'a@b' extra", "BadRequest"),
            ("userPrincipalName eq o'hara", "BadRequest"),
            ("userPrincipalName eq 'o'hara'", "BadRequest"),
            ("userPrincipalName in ()", "BadRequest"),
            ("userPrincipalName in ('a@b'", "BadRequest"),
            ("userPrincipalName like 'a'", "BadRequest"),
            ("userPrincipalName eq", "BadRequest"),
            ("", "BadRequest"),
            ("id eq 'not-a-guid'", "Request_BadRequest"),
            ("userPrincipalName in ('ada@contoso.example','a b@contoso.example')", "Request_BadRequest"),
            ("userPrincipalName eq 'a@b@contoso.example'", "Request_BadRequest"),
            ("userPrincipalName eq ''", "Request_BadRequest"),
            ("userPrincipalName eq 'tab\there@contoso.example'", "Request_BadRequest"),
        ],
    )
    def test_a_bad_filter_fails_as_a_whole(self, graph: Client, filter_: str, code: str) -> None:
        assert refusal(graph, filter_) == (400, code)
