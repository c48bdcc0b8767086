"""Copying single users from Entra, one and many at a time, into a real table."""

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from local.entra import faults
from local.entra.bulk import BulkLoad
from local.entra.control import DirectoryObject, Tenant, new_user
from shared.context import Actor, ActorKind, Context, Deadline
from shared.directory.events import CertificateLoss
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.user import EntraDeletion, Group, ObjectIdLink, User, group_key, object_id_key, user_key
from shared.directory.tables import TableStore
from shared.entra.graph import GraphClient
from shared.entra.graph import users as graph_users
from shared.entra.graph.errors import GraphPermissionMissing, GraphReplyInvalid
from shared.entra.graph.users import EntraUserNotFound
from shared.entra.user_principal_name import UserPrincipalNameInvalid
from shared.entra.user_sync import SyncedUser, SyncResult, UserSync
from shared.errors import AppError


def stored(ledger: Ledger, object_id: object) -> User:
    link = ledger.get(ObjectIdLink, object_id_key(str(object_id)))
    assert link is not None
    user = ledger.get(User, user_key(link.user_id))
    assert user is not None
    return user


def people(tenant: Tenant, count: int) -> list[DirectoryObject]:
    return tenant.add_users([new_user(f"user{number}@contoso.example") for number in range(count)])


def names(users: list[DirectoryObject]) -> list[str]:
    return [user.user_principal_name for user in users]


def outcome(result: SyncResult) -> SyncedUser:
    assert isinstance(result.outcome, SyncedUser), result
    return result.outcome


# --- One user ---


def test_a_user_is_created_with_all_that_entra_says(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context
) -> None:
    ada = tenant.add_user(
        "Ada@contoso.example",
        displayName="Ada Lovelace",
        mail="ada.lovelace@contoso.example",
        proxyAddresses=["SMTP:ada.lovelace@contoso.example", "smtp:ada@contoso.example"],
        jobTitle="Analyst",
        onPremisesSyncEnabled=True,
        onPremisesSecurityIdentifier="S-1-5-21-1-2-3-1001",
        createdDateTime="2020-01-02T03:04:05Z",
    )

    synced = user_sync.sync("ada@CONTOSO.example", context)

    assert synced.created
    assert (synced.user.id, synced.user.object_id, synced.user.is_active) == (1, ada.id, True)
    assert (synced.user.name, synced.user.email) == ("Ada Lovelace", "ada.lovelace@contoso.example")
    assert synced.user.on_premises_security_identifier == "S-1-5-21-1-2-3-1001"
    assert synced.user.user_principal_name == "Ada@contoso.example"
    assert stored(ledger, ada) == synced.user


def test_a_second_sync_updates_and_notes_the_time(tenant: Tenant, user_sync: UserSync, context: Context) -> None:
    ada = tenant.add_user("ada@contoso.example")
    first = user_sync.sync("ada@contoso.example", context)
    tenant.update_user(ada, jobTitle="Countess")

    second = user_sync.sync("ada@contoso.example", context)

    assert not second.created
    assert (second.user.id, second.user.job_title) == (first.user.id, "Countess")
    assert first.user.synced_at and second.user.synced_at and second.user.synced_at > first.user.synced_at


def test_an_unchanged_user_only_gets_a_later_time(tenant: Tenant, user_sync: UserSync, context: Context) -> None:
    tenant.add_user("ada@contoso.example")
    first = user_sync.sync("ada@contoso.example", context)
    second = user_sync.sync("ada@contoso.example", context)
    assert second.user.updated_at == first.user.updated_at
    assert second.user.synced_at != first.user.synced_at


def test_groups_are_transitive_and_neither_roles_nor_units(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context
) -> None:
    ada = tenant.add_user("ada@contoso.example")
    inner, outer = tenant.add_group("Inner"), tenant.add_group("Äußere")
    tenant.add_member(inner, ada)
    tenant.add_member(outer, inner)
    tenant.add_member(tenant.add_directory_role("Global Reader"), ada)
    tenant.add_member(tenant.add_administrative_unit("Unit"), ada)

    synced = user_sync.sync("ada@contoso.example", context)

    assert {group.display_name for group in synced.groups} == {"Inner", "Äußere"}
    assert synced.user.group_ids == tuple(sorted([inner.id, outer.id]))
    assert ledger.get(Group, group_key(outer.id)) == Group(object_id=outer.id, display_name="Äußere")


def test_a_user_in_more_groups_than_a_page_holds_has_them_all(
    tenant: Tenant, user_sync: UserSync, context: Context
) -> None:
    tenant.load(BulkLoad(users=2, groups=1005, groups_per_user=1005))
    ada, bob = (user.properties["userPrincipalName"] for user in tenant.snapshot().users.values())

    one = user_sync.sync(ada, context)
    many = user_sync.sync_many([ada, bob], context)

    assert len(one.groups) == len(one.user.group_ids) == 1005
    assert len(outcome(many[0]).groups) == 1005


def test_a_list_of_groups_that_lost_its_next_link_takes_no_group_from_anybody(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_users, "LARGEST_PAGE", 5)
    tenant.load(BulkLoad(users=1, groups=12, groups_per_user=12))
    [ada] = tenant.snapshot().users.values()
    user_sync.sync(ada.user_principal_name, context)
    tenant.arm(faults.no_next_link(path="transitiveMemberOf"))

    with pytest.raises(GraphReplyInvalid):
        user_sync.sync(ada.user_principal_name, context)

    assert len(stored(ledger, ada.id).group_ids) == 12


def test_a_renamed_group_gets_its_new_name(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context
) -> None:
    ada, group = tenant.add_user("ada@contoso.example"), tenant.add_group("Old")
    tenant.add_member(group, ada)
    user_sync.sync("ada@contoso.example", context)
    tenant.update_group(group, displayName="New")

    synced = user_sync.sync("ada@contoso.example", context)

    assert synced.groups == (Group(object_id=group.id, display_name="New"),)
    assert ledger.get(Group, group_key(group.id)) == synced.groups[0]


def test_a_renamed_user_keeps_the_local_id(tenant: Tenant, user_sync: UserSync, context: Context) -> None:
    ada = tenant.add_user("ada@contoso.example")
    before = user_sync.sync("ada@contoso.example", context)
    tenant.update_user(ada, userPrincipalName="countess@contoso.example")

    after = user_sync.sync("countess@contoso.example", context)

    assert not after.created
    assert after.user.id == before.user.id


def test_the_old_name_of_a_renamed_user_is_not_found_but_the_rename_is_recorded(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context
) -> None:
    ada = tenant.add_user("ada@contoso.example")
    user_sync.sync("ada@contoso.example", context)
    tenant.update_user(ada, userPrincipalName="countess@contoso.example")

    with pytest.raises(EntraUserNotFound):
        user_sync.sync("ada@contoso.example", context)

    assert stored(ledger, ada).user_principal_name == "countess@contoso.example"


def test_a_name_given_to_somebody_else_makes_a_new_user_and_the_former_owner_is_looked_after(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context
) -> None:
    old = tenant.add_user("ada@contoso.example")
    user_sync.sync("ada@contoso.example", context)
    tenant.delete(old)
    new = tenant.add_user("ada@contoso.example")

    synced = user_sync.sync("ada@contoso.example", context)

    assert synced.created
    assert synced.user.object_id == new.id
    former = stored(ledger, old)
    assert (former.is_active, former.deletion) == (False, EntraDeletion.SOFT)


def test_a_disabled_user_is_inactive_until_enabled_again(tenant: Tenant, user_sync: UserSync, context: Context) -> None:
    ada = tenant.add_user("ada@contoso.example")
    tenant.disable(ada)
    assert not user_sync.sync("ada@contoso.example", context).user.is_active
    tenant.enable(ada)
    assert user_sync.sync("ada@contoso.example", context).user.is_active


@pytest.mark.parametrize(("purged", "deletion"), [(False, EntraDeletion.SOFT), (True, EntraDeletion.HARD)])
def test_a_deleted_user_becomes_inactive_and_stays_known(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context, purged: bool, deletion: EntraDeletion
) -> None:
    ada = tenant.add_user("ada@contoso.example")
    user_sync.sync("ada@contoso.example", context)
    tenant.delete(ada)
    if purged:
        tenant.purge(ada)

    with pytest.raises(EntraUserNotFound) as refused:
        user_sync.sync("ada@contoso.example", context)

    assert (refused.value.status, refused.value.code) == (404, "entra_user_not_found")
    user = stored(ledger, ada)
    assert (user.is_active, user.deletion, user.name) == (False, deletion, "Ada")
    assert user.deleted_at is not None


def test_a_restored_user_is_active_again_under_the_same_id(
    tenant: Tenant, user_sync: UserSync, context: Context
) -> None:
    ada = tenant.add_user("ada@contoso.example")
    before = user_sync.sync("ada@contoso.example", context)
    tenant.delete(ada)
    with pytest.raises(EntraUserNotFound):
        user_sync.sync("ada@contoso.example", context)
    tenant.restore(ada)

    after = user_sync.sync("ada@contoso.example", context)

    assert (after.created, after.user.id, after.user.is_active) == (False, before.user.id, True)
    assert (after.user.deletion, after.user.deleted_at) == (None, None)


def test_a_guest_and_a_user_without_mail_are_ordinary_users(
    tenant: Tenant, user_sync: UserSync, context: Context
) -> None:
    tenant.add_user("ada_x.example#EXT#@contoso.onmicrosoft.com", userType="Guest", mail=None, displayName="Ada")
    tenant.add_user("bob@contoso.example", mail=None, displayName=None)

    guest = user_sync.sync("ada_x.example#EXT#@contoso.onmicrosoft.com", context).user
    plain = user_sync.sync("bob@contoso.example", context).user

    assert (guest.user_type, guest.mail, guest.email) == ("Guest", None, None)
    assert (plain.name, plain.mail, plain.email) == ("bob@contoso.example", None, "bob@contoso.example")


@pytest.mark.parametrize(
    "name",
    [
        "o'brien@contoso.example",
        "$ada@contoso.example",
        "a#b@contoso.example",
        "a%2fb@contoso.example",
        "a/b@c.example",
    ],
)
def test_awkward_names_find_exactly_their_user(
    tenant: Tenant, user_sync: UserSync, context: Context, name: str
) -> None:
    wanted = tenant.add_user(name)
    tenant.add_user("a@contoso.example")
    assert user_sync.sync(name, context).user.object_id == wanted.id
    tenant.update_user(wanted, jobTitle="x")
    many = user_sync.sync_many([name, "a@contoso.example"], context)
    assert outcome(many[0]).user.object_id == wanted.id


def test_a_local_user_with_the_same_mail_is_never_linked(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context
) -> None:
    def add_local(tx: Transaction) -> None:
        user_id = tx.next_id("user")
        tx.put(
            User(
                id=user_id,
                name="Ada",
                email="ada@contoso.example",
                user_principal_name="ada@contoso.example",
                is_active=True,
                created_at=tx.time,
                updated_at=tx.time,
            )
        )

    ledger.commit(Request("user.imported", context, add_local), context.deadline)
    tenant.add_user("ada@contoso.example")

    synced = user_sync.sync("ada@contoso.example", context)

    assert (synced.created, synced.user.id) == (True, 2)
    local = ledger.get(User, user_key(1))
    assert local is not None
    assert local.object_id is None


def test_a_malformed_name_is_refused_without_a_call(tenant: Tenant, user_sync: UserSync, context: Context) -> None:
    with pytest.raises(UserPrincipalNameInvalid):
        user_sync.sync("ada", context)
    assert tenant.traffic().graph_requests == 0


def test_a_missing_permission_is_named(tenant: Tenant, user_sync: UserSync, context: Context) -> None:
    tenant.add_user("ada@contoso.example")
    tenant.grant("GroupMember.Read.All")
    with pytest.raises(GraphPermissionMissing, match=r"User\.Read\.All"):
        user_sync.sync("ada@contoso.example", context)


def test_observers_learn_of_changes_in_the_same_transaction(
    tenant: Tenant, ledger: Ledger, graph: GraphClient, context: Context
) -> None:
    seen: list[tuple[bool | None, bool]] = []

    def mark(tx: Transaction, before: User | None, after: User) -> Sequence[CertificateLoss]:
        seen.append((before.is_active if before else None, after.is_active))
        if not after.is_active:
            tx.put(replace(after, revocation_pending=True))
        return ()

    user_sync = UserSync(ledger, graph, observers=[mark])
    ada = tenant.add_user("ada@contoso.example")
    user_sync.sync("ada@contoso.example", context)
    user_sync.sync("ada@contoso.example", context)
    tenant.disable(ada)

    synced = user_sync.sync("ada@contoso.example", context)

    assert seen == [(None, True), (True, False)]
    assert synced.user.revocation_pending
    assert stored(ledger, ada).revocation_pending


def test_members_of_other_groups_than_the_scope_are_inactive(
    tenant: Tenant, ledger: Ledger, graph: GraphClient, context: Context
) -> None:
    ada, bob = people(tenant, 2)
    outer, inner = tenant.add_group("Outer"), tenant.add_group("Inner")
    tenant.add_member(outer, inner)
    tenant.add_member(inner, ada)
    user_sync = UserSync(ledger, graph, scope=frozenset({outer.id}))

    results = user_sync.sync_many(names([ada, bob]), context)

    assert [outcome(result).user.in_scope for result in results] == [True, False]
    assert [outcome(result).user.is_active for result in results] == [True, False]


# --- Many ---


def test_fifty_users_cost_one_batch_of_filters_and_three_of_groups(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context
) -> None:
    users = people(tenant, 50)
    group = tenant.add_group("Everybody")
    tenant.add_member(group, *users)
    user_sync.sync(users[0].user_principal_name, context)  # the group's name is known from here on
    for user in users[1:2]:
        user_sync.sync(user.user_principal_name, context)
    tenant.reset_traffic()
    before = ledger.head().seq

    results = user_sync.sync_many(names(users), context)

    traffic = tenant.traffic()
    assert traffic.requests == {"batch": 4}
    assert traffic.batched == {"users.list": 4, "users.transitiveMemberOf": 50}
    assert ledger.head().seq == before + 1
    assert [result.user_principal_name for result in results] == names(users)
    assert sum(outcome(result).created for result in results) == 48
    assert {outcome(result).groups[0].display_name for result in results} == {"Everybody"}


def test_fifty_new_users_are_two_transactions_and_fifty_changed_ones_one(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context
) -> None:
    users = people(tenant, 50)
    user_sync.sync_many(names(users), context)
    assert ledger.head().seq == 2
    tenant.update_many([(user, {"department": "Analysis"}) for user in users])

    user_sync.sync_many(names(users), context)

    assert ledger.head().seq == 3


def test_names_are_answered_in_order_with_duplicates_and_errors_in_place(
    tenant: Tenant, user_sync: UserSync, context: Context
) -> None:
    tenant.add_user("ada@contoso.example")
    asked = ["nobody@contoso.example", "ada@contoso.example", "bad", "ADA@contoso.example"]

    results = user_sync.sync_many(asked, context)

    assert [result.user_principal_name for result in results] == asked
    codes = [result.outcome.code if isinstance(result.outcome, AppError) else "ok" for result in results]
    assert codes == ["entra_user_not_found", "ok", "user_principal_name_invalid", "ok"]
    assert outcome(results[1]).user.id == outcome(results[3]).user.id


def test_a_name_that_graph_cannot_parse_costs_only_its_own_chunk_single_reads(
    tenant: Tenant, user_sync: UserSync, context: Context
) -> None:
    users = people(tenant, 29)
    asked = [*names(users[:7]), '"quoted"@contoso.example', *names(users[7:])]

    results = user_sync.sync_many(asked, context)

    failed = [result.user_principal_name for result in results if isinstance(result.outcome, AppError)]
    assert failed == ['"quoted"@contoso.example']
    traffic = tenant.traffic()
    assert traffic.batched["users.get"] + traffic.batched.get("refused", 0) - 1 <= 15


def test_a_throttled_part_of_a_batch_is_asked_again_alone(
    tenant: Tenant, user_sync: UserSync, context: Context
) -> None:
    users = people(tenant, 50)
    tenant.arm(faults.throttled("0.01", inside_batch=True, path="userPrincipalName", times=2))
    tenant.arm(faults.failing(503, at=faults.Point.BATCH, path="transitiveMemberOf", times=1))

    results = user_sync.sync_many(names(users), context)

    assert all(isinstance(result.outcome, SyncedUser) for result in results)
    traffic = tenant.traffic()
    assert traffic.batched["users.list"] == 4
    assert traffic.batched["users.transitiveMemberOf"] == 50
    assert traffic.batched["refused"] == 3


def test_a_user_whose_groups_cannot_be_had_fails_alone(tenant: Tenant, user_sync: UserSync) -> None:
    users = people(tenant, 5)
    unlucky = users[2]
    tenant.arm(faults.failing(503, at=faults.Point.BATCH, path=f"{unlucky.id}/transitiveMemberOf", times=None))
    hurried = Context(Actor(ActorKind.TIMER, "t"), "r", Deadline.after(timedelta(seconds=2)))

    results = user_sync.sync_many(names(users), hurried)

    failed = [result for result in results if isinstance(result.outcome, AppError)]
    assert [result.user_principal_name for result in failed] == [unlucky.user_principal_name]
    assert isinstance(failed[0].outcome, AppError)
    assert failed[0].outcome.status == 503


def test_deleted_and_renamed_users_among_many_are_recorded(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context
) -> None:
    users = people(tenant, 6)
    user_sync.sync_many(names(users), context)
    tenant.delete(users[0])
    tenant.delete(users[1])
    tenant.purge(users[1])
    tenant.update_user(users[2], userPrincipalName="other@contoso.example")
    tenant.update_user(users[3], userPrincipalName="parked@contoso.example")
    tenant.update_user(users[4], userPrincipalName=users[3].user_principal_name)
    tenant.update_user(users[3], userPrincipalName=users[4].user_principal_name)

    results = user_sync.sync_many(names(users), context)

    assert [isinstance(result.outcome, AppError) for result in results] == [True, True, True, False, False, False]
    assert stored(ledger, users[0]).deletion is EntraDeletion.SOFT
    assert stored(ledger, users[1]).deletion is EntraDeletion.HARD
    assert stored(ledger, users[2]).user_principal_name == "other@contoso.example"
    assert outcome(results[3]).user.object_id == users[4].id
    assert outcome(results[4]).user.object_id == users[3].id


def test_one_broken_record_fails_alone(tenant: Tenant, user_sync: UserSync, context: Context) -> None:
    users = people(tenant, 3)
    tenant.update_user(users[1], jobTitle="x" * 5000)

    results = user_sync.sync_many(names(users), context)

    codes = [result.outcome.code if isinstance(result.outcome, AppError) else "ok" for result in results]
    assert codes == ["ok", "entra_user_malformed", "ok"]


def test_the_recorded_time_is_from_before_the_question(tenant: Tenant, user_sync: UserSync, context: Context) -> None:
    tenant.add_user("ada@contoso.example")
    tenant.arm(faults.slow(0.3, path="users", times=1))
    started = datetime.now().astimezone()

    synced = user_sync.sync("ada@contoso.example", context)

    assert synced.user.synced_at is not None
    assert synced.user.synced_at - started < timedelta(seconds=0.29)


def test_an_empty_list_asks_nothing(tenant: Tenant, user_sync: UserSync, context: Context) -> None:
    assert user_sync.sync_many([], context) == []
    assert tenant.traffic().graph_requests == 0


def test_an_object_id_unknown_to_us_is_not_mistaken_for_ours(
    tenant: Tenant, user_sync: UserSync, ledger: Ledger, context: Context
) -> None:
    assert ledger.get(ObjectIdLink, object_id_key(str(uuid.uuid4()))) is None
    with pytest.raises(EntraUserNotFound):
        user_sync.sync("nobody@contoso.example", context)
    assert ledger.head().seq == 0


def test_parallel_syncs_of_the_same_new_users_make_each_of_them_once(
    tenant: Tenant, tables: TableStore, ledger: Ledger, graph: GraphClient, context: Context
) -> None:
    users = people(tenant, 20)
    syncs = [UserSync(Ledger(tables, tenant.id), graph) for _ in range(3)] + [UserSync(ledger, graph)] * 2

    with ThreadPoolExecutor(len(syncs)) as pool:
        answers = list(pool.map(lambda sync: sync.sync_many(names(users), context), syncs))

    assert sum(outcome(result).created for results in answers for result in results) == 20
    assert sorted(user.id for user in ledger.scan(User)) == list(range(1, 21))
    assert {link.object_id for link in ledger.scan(ObjectIdLink)} == {user.id for user in users}
