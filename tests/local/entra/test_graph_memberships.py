"""Groups and who is in them, directly and through others."""

from collections.abc import Callable

import pytest

from local.entra.control import EntraEmulator, Tenant
from tests.local.entra.conftest import Client, error_of


def ids(objects: list[dict[str, str]]) -> set[str]:
    return {item["id"] for item in objects}


class TestTransitiveMemberOf:
    def test_reaches_through_nested_groups_and_survives_circles(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        inner, middle, outer, foreign = (tenant.add_group(name) for name in ("inner", "middle", "outer", "foreign"))
        tenant.add_member(inner, ada)
        tenant.add_member(middle, inner)
        tenant.add_member(outer, middle)
        tenant.add_member(inner, outer)

        assert ids(graph.objects(f"/users/{ada.id}/transitiveMemberOf")) == {inner.id, middle.id, outer.id}
        assert ids(graph.objects(f"/users/{ada.id}/memberOf")) == {inner.id}
        assert foreign.id not in ids(graph.objects(f"/users/{ada.id}/transitiveMemberOf"))

    def test_holds_roles_and_units_that_are_not_groups(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        group, role = tenant.add_group("group"), tenant.add_directory_role("Global Administrator")
        unit = tenant.add_administrative_unit("North")
        for container in (group, role, unit):
            tenant.add_member(container, ada)

        found = graph.objects(f"/users/{ada.id}/transitiveMemberOf?$select=id,displayName")

        assert {item["@odata.type"]: item["id"] for item in found} == {
            "#microsoft.graph.group": group.id,
            "#microsoft.graph.directoryRole": role.id,
            "#microsoft.graph.administrativeUnit": unit.id,
        }

    def test_a_cast_is_an_advanced_query(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        group, role = tenant.add_group("group"), tenant.add_directory_role("role")
        tenant.add_member(group, ada)
        tenant.add_member(role, ada)
        target = f"/users/{ada.id}/transitiveMemberOf/microsoft.graph.group"

        refused = graph.get(target)
        found = graph.get(f"{target}?$count=true&$select=id", ConsistencyLevel="eventual").json()
        counted = graph.get(f"{target}/$count", ConsistencyLevel="eventual").text

        assert error_of(refused) == (400, "Request_BadRequest")
        assert (found["value"], found["@odata.count"], counted) == ([{"id": group.id}], 1, "1")

    def test_pages_hold_a_hundred_unless_asked_otherwise(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        for number in range(105):
            tenant.add_member(tenant.add_group(f"g{number}"), ada)

        target = f"/users/{ada.id}/transitiveMemberOf"
        assert [len(page["value"]) for page in graph.pages(target)] == [100, 5]
        assert [len(page["value"]) for page in graph.pages(f"{target}?$top=999")] == [105]

    def test_a_deleted_group_does_not_count(self, tenant: Tenant, graph: Client) -> None:
        ada, group = tenant.add_user("ada@contoso.example"), tenant.add_group("group")
        tenant.add_member(group, ada)
        tenant.delete_group(group)

        assert graph.objects(f"/users/{ada.id}/transitiveMemberOf") == []

    def test_works_by_upn_in_key_form_too(self, tenant: Tenant, graph: Client) -> None:
        ada, group = tenant.add_user("a'da@contoso.example"), tenant.add_group("group")
        tenant.add_member(group, ada)

        assert ids(graph.objects("/users('a%27%27da%40contoso.example')/transitiveMemberOf")) == {group.id}


class TestMembers:
    def test_direct_members_are_users_and_groups(self, tenant: Tenant, graph: Client) -> None:
        ada, inner, outer = tenant.add_user("ada@contoso.example"), tenant.add_group("inner"), tenant.add_group("outer")
        tenant.add_member(inner, ada)
        tenant.add_member(outer, inner)

        members = graph.objects(f"/groups/{outer.id}/members?$select=id")
        everybody = graph.objects(f"/groups/{outer.id}/transitiveMembers?$select=id")

        assert members == [{"@odata.type": "#microsoft.graph.group", "id": inner.id}]
        assert {item["@odata.type"] for item in everybody} == {"#microsoft.graph.group", "#microsoft.graph.user"}
        assert ids(everybody) == {inner.id, ada.id}

    def test_a_member_that_was_deleted_is_not_listed_and_comes_back_restored(
        self, tenant: Tenant, graph: Client
    ) -> None:
        ada, group = tenant.add_user("ada@contoso.example"), tenant.add_group("group")
        tenant.add_member(group, ada)
        tenant.delete(ada)
        while_deleted = graph.objects(f"/groups/{group.id}/members")
        tenant.restore(ada)

        assert while_deleted == []
        assert ids(graph.objects(f"/groups/{group.id}/members")) == {ada.id}

    def test_a_purged_member_is_gone_for_good(self, tenant: Tenant, graph: Client) -> None:
        ada, group = tenant.add_user("ada@contoso.example"), tenant.add_group("group")
        tenant.add_member(group, ada)
        tenant.purge(ada)
        tenant.add_user("ada@contoso.example", id=ada.id)

        assert graph.objects(f"/groups/{group.id}/members") == []

    def test_groups_are_known_by_id_only(self, tenant: Tenant, graph: Client) -> None:
        group = tenant.add_group("group")

        assert graph.get(f"/groups/{group.id}?$select=displayName").json()["displayName"] == "group"
        assert error_of(graph.get("/groups/group")) == (400, "Request_BadRequest")
        assert graph.get("/groups/f3c5bb5a-3d2e-4c9e-8f5e-0123456789ab").status_code == 404
        assert error_of(graph.get(f"/groups/{group.id}/owners")) == (400, "BadRequest")

    def test_groups_are_listed_and_filtered(self, tenant: Tenant, graph: Client) -> None:
        one, two = tenant.add_group("one"), tenant.add_group("two")
        tenant.add_directory_role("role")

        assert ids(graph.objects("/groups?$select=id,displayName")) == {one.id, two.id}
        assert ids(graph.objects("/groups?$filter=displayName eq 'two'")) == {two.id}


class TestPermissions:
    @pytest.fixture
    def with_permissions(self, entra: EntraEmulator, client_of: Callable[[Tenant], Client]) -> Callable[..., Client]:
        def make(*permissions: str) -> Client:
            tenant = entra.new_tenant(permissions=permissions)
            ada, group = tenant.add_user("ada@contoso.example"), tenant.add_group("group")
            tenant.add_member(group, ada)
            return client_of(tenant)

        return make

    @pytest.mark.parametrize(
        ("permissions", "target", "status"),
        [
            (("User.Read.All",), "/users", 200),
            (("User.Read.All",), "/users/delta", 200),
            (("User.Read.All",), "/users/ada@contoso.example", 200),
            (("User.Read.All",), "/users/ada@contoso.example/transitiveMemberOf", 200),
            (("User.Read.All",), "/groups", 403),
            (("User.Read.All",), "/groups/delta", 403),
            (("User.Read.All",), "/directory/deletedItems/microsoft.graph.group", 403),
            (("GroupMember.Read.All",), "/users", 403),
            (("GroupMember.Read.All",), "/users/ada@contoso.example", 403),
            (("GroupMember.Read.All",), "/groups", 200),
            (("Directory.Read.All",), "/users", 200),
            (("Directory.Read.All",), "/groups", 200),
            ((), "/users", 403),
            (("Mail.Read",), "/users/ada@contoso.example/transitiveMemberOf", 403),
        ],
    )
    def test_each_resource_needs_its_own(
        self, with_permissions: Callable[..., Client], permissions: tuple[str, ...], target: str, status: int
    ) -> None:
        reply = with_permissions(*permissions).get(target)

        assert reply.status_code == status, reply.text
        if status == 403:
            assert reply.json()["error"]["code"] == "Authorization_RequestDenied"

    def test_groups_show_only_their_ids_to_who_may_not_read_groups(
        self, with_permissions: Callable[..., Client]
    ) -> None:
        graph = with_permissions("User.Read.All")

        (group,) = graph.objects("/users/ada@contoso.example/transitiveMemberOf?$select=id,displayName")

        assert group["id"]
        assert group["displayName"] is None
