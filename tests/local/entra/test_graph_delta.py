"""Delta queries: rounds, tokens, removals, memberships; and that a careful follower always arrives at the truth."""

import random
from datetime import timedelta
from typing import Any

import pytest

from local.entra.bulk import BulkLoad
from local.entra.control import Tenant
from tests.local.entra.conftest import Client, error_of

SELECT = "$select=id,userPrincipalName,displayName,accountEnabled"


def read_round(graph: Client, link: str) -> tuple[list[dict[str, Any]], str]:
    """All objects of a round and the delta link at its end."""
    items: list[dict[str, Any]] = []
    while True:
        page = graph.get(link).json()
        items += page["value"]
        if "@odata.deltaLink" in page:
            assert "@odata.nextLink" not in page
            return items, page["@odata.deltaLink"]
        link = page["@odata.nextLink"]


class TestUsers:
    def test_a_first_round_tells_everybody_two_hundred_a_page(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=450))

        first = graph.get(f"/users/delta?{SELECT}").json()
        items, _ = read_round(graph, f"/users/delta?{SELECT}")

        assert len(first["value"]) == 200
        assert {item["id"] for item in items} == set(tenant.snapshot().users)

    def test_nothing_new_is_one_empty_page(self, tenant: Tenant, graph: Client) -> None:
        tenant.add_user("ada@contoso.example")
        _, link = read_round(graph, f"/users/delta?{SELECT}")

        page = graph.get(link).json()

        assert page["value"] == []
        assert "@odata.deltaLink" in page

    def test_each_kind_of_change_is_told_in_its_way(self, tenant: Tenant, graph: Client) -> None:
        ada, bob, cleo = (tenant.add_user(f"{name}@contoso.example") for name in ("ada", "bob", "cleo"))
        _, link = read_round(graph, f"/users/delta?{SELECT}")

        tenant.disable(ada)
        tenant.delete(bob)
        tenant.purge(cleo)
        dan = tenant.add_user("dan@contoso.example")
        items, _ = read_round(graph, link)

        told = {item["id"]: item for item in items}
        assert told[ada.id]["accountEnabled"] is False
        assert told[bob.id] == {"id": bob.id, "@removed": {"reason": "changed"}}
        assert told[cleo.id] == {"id": cleo.id, "@removed": {"reason": "deleted"}}
        assert told[dan.id]["userPrincipalName"] == "dan@contoso.example"

    def test_a_restored_user_comes_back_as_a_plain_object(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        tenant.delete(ada)
        _, link = read_round(graph, f"/users/delta?{SELECT}")

        tenant.restore(ada)

        (item,), _ = read_round(graph, link)
        assert item["userPrincipalName"] == "ada@contoso.example"

    def test_a_first_round_is_silent_about_what_was_removed_before(self, tenant: Tenant, graph: Client) -> None:
        tenant.delete(tenant.add_user("ada@contoso.example"))
        tenant.purge(tenant.add_user("bob@contoso.example"))

        assert read_round(graph, f"/users/delta?{SELECT}")[0] == []

    def test_a_token_taken_now_tells_only_what_comes_later(self, tenant: Tenant, graph: Client) -> None:
        tenant.add_user("ada@contoso.example")
        items, link = read_round(graph, f"/users/delta?$deltatoken=latest&{SELECT}")
        bob = tenant.add_user("bob@contoso.example")

        assert items == []
        assert [item["id"] for item in read_round(graph, link)[0]] == [bob.id]

    def test_only_selected_properties_are_tracked(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        _, link = read_round(graph, "/users/delta?$select=displayName")

        tenant.update_user(ada, jobTitle="Countess")
        unnoticed, link = read_round(graph, link)
        tenant.update_user(ada, displayName="Ada")
        noticed, _ = read_round(graph, link)

        assert unnoticed == []
        assert noticed == [{"displayName": "Ada", "id": ada.id}]

    def test_properties_never_set_are_absent(self, tenant: Tenant, graph: Client) -> None:
        tenant.add_user("ada@contoso.example", mail=None)

        (item,), _ = read_round(graph, "/users/delta?$select=id,mail,proxyAddresses,displayName")

        assert set(item) == {"id", "displayName"}

    def test_a_scope_by_id_narrows_the_query(self, tenant: Tenant, graph: Client) -> None:
        ada, _ = tenant.add_user("ada@contoso.example"), tenant.add_user("bob@contoso.example")

        items, _ = read_round(graph, f"/users/delta?$select=id&$filter=id eq '{ada.id}'")

        assert items == [{"id": ada.id}]
        assert error_of(graph.get("/users/delta?$filter=accountEnabled eq true"))[0] == 400

    @pytest.mark.parametrize("segment", ["delta", "delta()", "microsoft.graph.delta", "microsoft.graph.delta()"])
    def test_the_function_goes_by_several_names(self, graph: Client, segment: str) -> None:
        assert "@odata.deltaLink" in graph.get(f"/users/{segment}").json()

    @pytest.mark.parametrize("query", ["$top=10", "$skip=1", "$orderby=displayName", "$expand=manager", "$count=true"])
    def test_options_that_delta_lacks_are_refused(self, graph: Client, query: str) -> None:
        assert error_of(graph.get(f"/users/delta?{query}")) == (400, "Request_BadRequest")


class TestTokens:
    @pytest.fixture
    def links(self, tenant: Tenant, graph: Client) -> tuple[str, str]:
        """A nextLink and a deltaLink."""
        tenant.load(BulkLoad(users=201))
        return graph.get(f"/users/delta?{SELECT}").json()["@odata.nextLink"], read_round(graph, "/users/delta")[1]

    def test_parameters_cannot_be_added_to_a_link(self, graph: Client, links: tuple[str, str]) -> None:
        for link in links:
            assert error_of(graph.get(link + "&$select=id")) == (400, "Request_BadRequest")

    def test_the_two_kinds_of_token_cannot_be_mixed(self, graph: Client, links: tuple[str, str]) -> None:
        next_link, delta_link = links

        assert error_of(graph.get(next_link.replace("$skiptoken", "$deltatoken"))) == (400, "BadRequest")
        assert error_of(graph.get(delta_link.replace("$deltatoken", "$skiptoken"))) == (400, "BadRequest")

    def test_a_forged_or_foreign_token_is_refused(self, graph: Client, links: tuple[str, str]) -> None:
        _, delta_link = links

        assert error_of(graph.get("/users/delta?$deltatoken=AAAA")) == (400, "Request_BadRequest")
        assert error_of(graph.get(delta_link.replace("/users/", "/groups/"))) == (400, "Request_BadRequest")

    def test_a_delta_token_dies_after_seven_days(self, tenant: Tenant, graph: Client, links: tuple[str, str]) -> None:
        _, delta_link = links
        tenant.advance_clock(timedelta(days=6, hours=23))
        alive = graph.get(delta_link).status_code
        tenant.advance_clock(timedelta(hours=2))

        assert alive == 200
        assert error_of(graph.get(delta_link)) == (410, "syncStateNotFound")

    def test_a_page_token_of_a_list_dies_sooner(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=5))
        link = graph.get("/users?$top=2").json()["@odata.nextLink"]
        tenant.advance_clock(timedelta(hours=2))

        assert error_of(graph.get(link)) == (400, "Directory_ExpiredPageToken")

    def test_an_empty_delta_token_starts_over(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=3))

        assert len(graph.get("/users/delta?$deltatoken=").json()["value"]) == 3

    def test_the_recycle_bin_is_emptied_after_thirty_days(self, tenant: Tenant, graph: Client) -> None:
        ada = tenant.add_user("ada@contoso.example")
        tenant.delete(ada)
        tenant.advance_clock(timedelta(days=29))
        _, link = read_round(graph, f"/users/delta?{SELECT}")

        tenant.advance_clock(timedelta(days=2))

        assert read_round(graph, link)[0] == [{"id": ada.id, "@removed": {"reason": "deleted"}}]
        assert graph.get("/directory/deletedItems/microsoft.graph.user").json()["value"] == []


class TestGroups:
    def test_members_come_with_the_group_and_nested_groups_by_type(self, tenant: Tenant, graph: Client) -> None:
        ada, inner, outer = tenant.add_user("ada@contoso.example"), tenant.add_group("inner"), tenant.add_group("outer")
        tenant.add_member(inner, ada)
        tenant.add_member(outer, inner)

        items, _ = read_round(graph, "/groups/delta?$select=displayName,members")

        members = {item["displayName"]: item["members@delta"] for item in items}
        assert members == {
            "inner": [{"@odata.type": "#microsoft.graph.user", "id": ada.id}],
            "outer": [{"@odata.type": "#microsoft.graph.group", "id": inner.id}],
        }

    def test_later_only_changes_of_membership_are_told(self, tenant: Tenant, graph: Client) -> None:
        ada, bob, group = tenant.add_user("a@x.example"), tenant.add_user("b@x.example"), tenant.add_group("group")
        tenant.add_member(group, ada)
        _, link = read_round(graph, "/groups/delta?$select=displayName,members")

        tenant.add_member(group, bob)
        tenant.remove_member(group, ada)
        ((changed,), _) = read_round(graph, link)

        assert changed["members@delta"] == [
            {"@odata.type": "#microsoft.graph.user", "id": bob.id},
            {"@odata.type": "#microsoft.graph.user", "id": ada.id, "@removed": {"reason": "deleted"}},
        ]

    def test_a_deleted_members_loss_is_not_told(self, tenant: Tenant, graph: Client) -> None:
        ada, group = tenant.add_user("ada@contoso.example"), tenant.add_group("group")
        tenant.add_member(group, ada)
        _, link = read_round(graph, "/groups/delta?$select=displayName,members")

        tenant.delete(ada)

        assert read_round(graph, link)[0] == []

    def test_a_large_group_repeats_until_all_members_are_told(self, tenant: Tenant, graph: Client) -> None:
        tenant.load(BulkLoad(users=1200, groups=1, groups_per_user=1))

        pages = [graph.get("/groups/delta?$select=displayName,members").json()]
        while "@odata.nextLink" in pages[-1]:
            pages.append(graph.get(pages[-1]["@odata.nextLink"]).json())

        told = [[member["id"] for group in page["value"] for member in group["members@delta"]] for page in pages]
        assert [len(page) for page in told] == [500, 500, 200]
        assert {member for page in told for member in page} == set(tenant.snapshot().users)

    def test_without_members_selected_memberships_are_not_tracked(self, tenant: Tenant, graph: Client) -> None:
        ada, group = tenant.add_user("ada@contoso.example"), tenant.add_group("group")
        (first,), link = read_round(graph, "/groups/delta?$select=displayName")
        tenant.add_member(group, ada)

        assert "members@delta" not in first
        assert read_round(graph, link)[0] == []

    def test_a_deleted_group_is_told_and_a_restored_one_too(self, tenant: Tenant, graph: Client) -> None:
        group = tenant.add_group("group")
        _, link = read_round(graph, "/groups/delta")
        tenant.delete_group(group)
        removed, link = read_round(graph, link)
        tenant.restore(group)
        restored, _ = read_round(graph, link)

        assert removed == [{"id": group.id, "@removed": {"reason": "changed"}}]
        assert restored[0]["displayName"] == "group"


class Follower:
    """A minimal client that does what Microsoft's pages say, a page at a time."""

    def __init__(self, graph: Client) -> None:
        self._graph = graph
        self.users: dict[str, dict[str, Any]] = {}
        self.groups: set[str] = set()
        self.edges: dict[str, set[str]] = {}
        self._links = {"users": f"/users/delta?{SELECT}", "groups": "/groups/delta?$select=displayName,members"}

    def step(self, collection: str) -> bool:
        """Reads one page; True at the end of a round."""
        page = self._graph.get(self._links[collection]).json()
        for item in page["value"]:
            self._take_user(item) if collection == "users" else self._take_group(item)
        self._links[collection] = page.get("@odata.nextLink") or page["@odata.deltaLink"]
        return "@odata.deltaLink" in page

    def _take_user(self, item: dict[str, Any]) -> None:
        if "@removed" in item:
            self.users.pop(item["id"], None)
        else:
            self.users[item["id"]] = item

    def _take_group(self, item: dict[str, Any]) -> None:
        if "@removed" in item:
            self.groups.discard(item["id"])
            return
        self.groups.add(item["id"])
        edges = self.edges.setdefault(item["id"], set())
        for member in item.get("members@delta", ()):
            edges.discard(member["id"]) if "@removed" in member else edges.add(member["id"])

    def memberships(self) -> dict[str, set[str]]:
        """Direct members that are alive, by live group."""
        alive = self.users.keys() | self.groups
        return {group: self.edges.get(group, set()) & alive for group in self.groups}


class Mutator:
    """Changes a directory at random, within the rules."""

    def __init__(self, tenant: Tenant, chance: random.Random) -> None:
        self._tenant, self._chance = tenant, chance
        self._live = [tenant.add_user(f"start{n}@contoso.example").id for n in range(8)]
        self._deleted: list[str] = []
        self._groups = [tenant.add_group(f"group{n}").id for n in range(4)]
        self._edges: set[tuple[str, str]] = set()
        self._number = 0

    def step(self) -> None:
        getattr(
            self, self._chance.choice(["_add", "_rename", "_other", "_delete", "_restore", "_purge", *["_member"] * 4])
        )()

    def _add(self) -> None:
        self._number += 1
        self._live.append(self._tenant.add_user(f"new{self._number}@contoso.example").id)

    def _rename(self) -> None:
        if self._live:
            self._number += 1
            user = self._chance.choice(self._live)
            self._tenant.update_user(user, userPrincipalName=f"renamed{self._number}@contoso.example")

    def _other(self) -> None:
        if self._live:
            self._tenant.update_user(self._chance.choice(self._live), jobTitle=f"Job {self._number}")

    def _delete(self) -> None:
        if self._live:
            user = self._live.pop(self._chance.randrange(len(self._live)))
            self._tenant.delete(user)
            self._deleted.append(user)

    def _restore(self) -> None:
        if self._deleted:
            user = self._deleted.pop(self._chance.randrange(len(self._deleted)))
            self._tenant.restore(user)
            self._live.append(user)

    def _purge(self) -> None:
        pool = self._chance.choice([self._live, self._deleted])
        if pool:
            user = pool.pop(self._chance.randrange(len(pool)))
            self._tenant.purge(user)
            self._edges = {edge for edge in self._edges if edge[1] != user}

    def _member(self) -> None:
        group = self._chance.choice(self._groups)
        member = self._chance.choice(self._live + [other for other in self._groups if other != group])
        if (group, member) in self._edges:
            self._tenant.remove_member(group, member)
            self._edges.remove((group, member))
        else:
            self._tenant.add_member(group, member)
            self._edges.add((group, member))


@pytest.mark.parametrize("seed", range(4))
def test_a_careful_follower_arrives_at_the_truth_whatever_changes_meanwhile(
    tenant: Tenant, graph: Client, seed: int
) -> None:
    chance = random.Random(seed)
    tenant.load(BulkLoad(users=300, groups=3, groups_per_user=2, seed=seed))
    mutator, follower = Mutator(tenant, chance), Follower(graph)

    for _ in range(60):
        mutator.step()
        if chance.random() < 0.3:
            follower.step(chance.choice(["users", "groups"]))
    for collection in ("users", "groups", "users", "groups"):
        while not follower.step(collection):
            pass

    truth = tenant.snapshot()
    live = {user.id: user.user_principal_name for user in truth.users.values() if user.state != "deleted"}
    assert {user: item["userPrincipalName"] for user, item in follower.users.items()} == live
    assert follower.memberships() == {group.id: set(group.members) for group in truth.groups.values()}
