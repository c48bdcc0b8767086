"""Single users and lists of users: names with every awkward character, properties, pages and counts."""

import http.client
import socket
import ssl
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import pytest

from local.entra.bulk import BulkLoad
from local.entra.control import EntraEmulator, Tenant
from tests.local.entra.conftest import Client, error_of

AWKWARD_NAMES = [
    "ada@contoso.example",
    "o'hara@contoso.example",
    "''@contoso.example",
    "$leading@contoso.example",
    "guest_partner.example#EXT#@contoso.example",
    "100%@contoso.example",
    "a/b@contoso.example",
    "a?b&c=d@contoso.example",
    "a+b@contoso.example",
    "(paren)@contoso.example",
    "žluťoučký.kůň@contoso.example",
]


def key_form(upn: str) -> str:
    doubled = upn.replace("'", "''")
    return f"/users('{quote(doubled, safe='')}')"


class TestOneUser:
    @pytest.mark.parametrize("upn", AWKWARD_NAMES)
    def test_is_found_by_a_quoted_and_encoded_upn(self, tenant: Tenant, graph: Client, upn: str) -> None:
        made = tenant.add_user(upn)

        assert graph.get(key_form(upn)).json()["id"] == made.id

    def test_is_found_by_id_and_by_plain_upn_in_any_case(self, tenant: Tenant, graph: Client) -> None:
        made = tenant.add_user("Ada@Contoso.example")

        assert graph.get(f"/users/{made.id.upper()}").json()["id"] == made.id
        assert graph.get("/users/ADA@contoso.EXAMPLE").json()["userPrincipalName"] == "Ada@Contoso.example"

    def test_a_plain_upn_that_begins_with_a_dollar_sign_is_refused(self, tenant: Tenant, graph: Client) -> None:
        tenant.add_user("$leading@contoso.example")

        assert error_of(graph.get("/users/$leading@contoso.example")) == (400, "BadRequest")

    @pytest.mark.parametrize(
        "target",
        [
            "/users('ada)",
            "/users(ada@contoso.example)",
            "/users('o'hara@contoso.example')",
            "/users('')",
            '/users("a")',
        ],
    )
    def test_a_wrongly_quoted_key_is_refused(self, graph: Client, target: str) -> None:
        assert error_of(graph.get(target)) == (400, "BadRequest")

    def test_an_unknown_user_is_a_404_that_names_what_was_asked(self, graph: Client) -> None:
        reply = graph.get("/users/nobody@contoso.example")

        assert error_of(reply) == (404, "Request_ResourceNotFound")
        assert "'nobody@contoso.example'" in reply.json()["error"]["message"]

    def test_comes_with_the_default_properties_only(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example", accountEnabled=False)

        shown = graph.get(f"/users/{ada.id}").json()

        assert set(shown) - {"@odata.context"} == {
            *("businessPhones", "displayName", "givenName", "id", "jobTitle", "mail", "mobilePhone"),
            *("officeLocation", "preferredLanguage", "surname", "userPrincipalName"),
        }

    def test_comes_with_what_was_selected_null_where_unset(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example", mail=None)

        shown = graph.get(f"/users/{ada.id}?$select=mail,accountEnabled,proxyAddresses,employeeId").json()

        shown.pop("@odata.context")
        assert shown == {"mail": None, "accountEnabled": True, "proxyAddresses": [], "employeeId": None}

    def test_an_unknown_property_is_refused(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")

        reply = graph.get(f"/users/{ada.id}?$select=id,shoeSize")

        assert error_of(reply) == (400, "BadRequest")
        assert "'shoeSize' on type 'microsoft.graph.user'" in reply.json()["error"]["message"]

    def test_a_deleted_user_is_not_found_until_restored(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        tenant.delete(ada)
        while_deleted = graph.get(f"/users/{ada.id}").status_code
        in_recycle_bin = graph.get(f"/directory/deletedItems/{ada.id}").json()["id"]
        tenant.restore(ada)

        assert while_deleted == 404
        assert in_recycle_bin == ada.id
        assert graph.get(f"/users/{ada.id}").status_code == 200

    def test_a_renamed_user_keeps_the_id_and_frees_the_name(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        tenant.update_user(ada, userPrincipalName="countess@contoso.example")
        newcomer = tenant.add_user("ada@contoso.example")

        assert graph.get("/users/countess@contoso.example").json()["id"] == ada.id
        assert graph.get("/users/ada@contoso.example").json()["id"] == newcomer.id

    def test_a_restore_fails_when_somebody_else_has_the_name(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        tenant.delete(ada)
        tenant.add_user("ada@contoso.example")

        with pytest.raises(Exception, match="belongs to"):
            tenant.restore(ada)
        assert graph.get(f"/users/{ada.id}").status_code == 404


def test_an_unencoded_hash_is_refused_on_the_wire(tenant: Tenant, graph: Client, entra: EntraEmulator) -> None:
    """HTTP libraries cut the fragment off before sending, so this one is written by hand."""
    address = urlsplit(tenant.url)
    context = ssl.create_default_context(cafile=str(entra.ca_path))
    request = f"GET /v1.0/users/g_x#EXT#@contoso.example HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {graph.token}"
    with (
        socket.create_connection(("127.0.0.1", address.port or 0)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(f"{request}\r\nConnection: close\r\n\r\n".encode())
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 400 ")


class TestLists:
    def test_pages_hold_a_hundred_unless_asked_otherwise(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=250))

        assert [len(page["value"]) for page in graph.pages("/users")] == [100, 100, 50]
        assert [len(page["value"]) for page in graph.pages("/users?$top=999")] == [250]
        assert [len(page["value"]) for page in graph.pages("/users?$top=125")] == [125, 125]

    def test_every_user_comes_once(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=120))
        ids = [item["id"] for item in graph.objects("/users?$top=7&$select=id")]

        assert len(ids) == len(set(ids)) == 120
        assert set(ids) == set(tenant.snapshot().users)

    def test_users_deleted_between_pages_do_not_shift_the_others(self, tenant: Tenant, graph: Client) -> None:
        users = [tenant.add_user(f"u{number}@contoso.example") for number in range(6)]
        first = graph.get("/users?$top=3&$select=id").json()
        tenant.delete(users[0])
        second = graph.get(first["@odata.nextLink"]).json()

        assert [item["id"] for item in second["value"]] == [user.id for user in users[3:]]

    def test_a_next_link_is_the_request_with_an_opaque_token(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=5))

        link = graph.get("/users?$select=id,mail&$top=2").json()["@odata.nextLink"]

        assert link.startswith(f"{tenant.graph_url}/users?$select=id,mail&$top=2&$skiptoken=")

    def test_a_token_of_another_request_is_refused(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=5))
        token = graph.get("/users?$top=2").json()["@odata.nextLink"].partition("$skiptoken=")[2]

        assert error_of(graph.get(f"/users?$top=3&$skiptoken={token}")) == (400, "BadRequest")
        assert error_of(graph.get(f"/users?$top=2&$skiptoken={token[:-2]}AA")) == (400, "BadRequest")
        assert error_of(graph.get(f"/groups?$top=2&$skiptoken={token}")) == (400, "BadRequest")

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("$top=0", "Request_BadRequest"),
            ("$top=1000", "Request_BadRequest"),
            ("$top=-1", "BadRequest"),
            ("$top=many", "BadRequest"),
            ("$skip=10", "Request_BadRequest"),
            ("$select=", "BadRequest"),
            ("$deltatoken=latest", "Request_BadRequest"),
            ("$count=yes", "BadRequest"),
            ("$foo=1", "BadRequest"),
            ("foo=1", "BadRequest"),
            ("$top=1&$top=2", "BadRequest"),
            ("$select=id%ZZ", "BadRequest"),
            ("$select=id%FF", "BadRequest"),
        ],
    )
    def test_what_graph_refuses_is_refused(self, graph: Client, query: str, code: str) -> None:
        """Sent by http.client, because requests would mend the broken escapes."""
        address = urlsplit(graph.tenant.url)
        context = ssl.create_default_context(cafile=graph.ca_path)
        connection = http.client.HTTPSConnection("127.0.0.1", address.port, context=context)
        connection.request("GET", f"/v1.0/users?{query}", headers={"Authorization": f"Bearer {graph.token}"})
        reply = connection.getresponse()

        assert reply.status == 400
        assert f'"code":"{code}"'.encode() in reply.read()
        connection.close()

    def test_properties_that_only_single_users_have_are_not_implemented(self, graph: Client) -> None:
        assert error_of(graph.get("/users?$select=skills")) == (501, "NotImplemented")

    def test_what_this_emulator_lacks_does_not_look_like_graphs_answer(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        filtered = "$filter=displayName eq 'x'"

        for target in ("/users?$orderby=displayName", f"/users/{ada.id}/transitiveMemberOf?{filtered}"):
            assert error_of(graph.get(target)) == (501, "NotEmulated")

    def test_an_unknown_path_is_refused(self, graph: Client) -> None:
        assert error_of(graph.get("/people")) == (400, "BadRequest")
        assert error_of(graph.get("/users/delta/extra")) == (400, "BadRequest")


class TestCounts:
    def test_a_count_needs_eventual_consistency(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=12))

        assert error_of(graph.get("/users/$count")) == (400, "Request_BadRequest")
        counted = graph.get("/users/$count", ConsistencyLevel="eventual")
        assert (counted.text, counted.headers["content-type"]) == ("12", "text/plain")

    def test_a_list_is_counted_only_with_eventual_consistency(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=12))

        assert "@odata.count" not in graph.get("/users?$count=true&$top=5").json()
        assert graph.get("/users?$count=true&$top=5", ConsistencyLevel="eventual").json()["@odata.count"] == 12

    def test_deleted_users_are_not_counted(self, tenant: Tenant, graph: Client) -> None:
        tenant.add_user("ada@contoso.example")
        tenant.delete(tenant.add_user("bob@contoso.example"))

        assert graph.get("/users/$count", ConsistencyLevel="eventual").text == "1"


def test_tenants_do_not_see_each_other(
    tenant: Tenant, graph: Client, entra: EntraEmulator, client_of: Callable[[Tenant], Client]
) -> None:
    other = entra.new_tenant()
    bob = other.add_user("bob@contoso.example")

    assert graph.get(f"/users/{bob.id}").status_code == 404
    assert client_of(other).get(f"/users/{bob.id}").status_code == 200
    assert graph.objects("/users") == []


def test_replies_say_what_they_cost_and_under_which_id(tenant: Tenant, graph: Client) -> None:
    ada = tenant.add_user("ada@contoso.example")

    def units(target: str) -> str:
        return graph.get(target).headers["x-ms-resource-unit"]

    assert [units("/users"), units("/users?$select=id"), units("/users?$top=5&$select=id")] == ["2", "1", "1"]
    assert units(f"/users/{ada.id}") == "1"
    assert units(f"/users/{ada.id}/transitiveMemberOf") == "2"
    reply = graph.get("/users", client_request_id="me-42")
    assert reply.headers["client-request-id"] == "me-42"
    assert reply.headers["request-id"]
