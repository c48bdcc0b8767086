"""The tenant sync end to end: a directory in the emulator, a ledger on Azurite, and whether they are in step."""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from local.entra.bulk import BulkLoad
from local.entra.control import DirectoryObject, EntraEmulator, Tenant, new_user
from shared.context import Context
from shared.directory.events import CertificateLoss
from shared.directory.ledger import Ledger, Transaction
from shared.directory.local_users import LocalUser, LocalUsers
from shared.directory.records.user import EntraDeletion, User
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.entra.graph import GraphClient
from shared.entra.tenant_sync import ORDINARY, SyncOrder, TenantSync
from shared.entra.tenant_sync.lease import LeaseKeeper, LeaseTaken
from shared.entra.tenant_sync.report import Mode, Outcome, Phase, SyncProgress, SyncReport
from shared.entra.tenant_sync.sync import LEASE_NAME
from shared.entra.user_sync import UserSync
from tests.integration.entra.conftest import QUICK, Policy, SyncWith, credentials_of
from tests.support.in_step import differences

FULL = SyncOrder(full=True)


@pytest.fixture
def people(tenant: Tenant) -> list[DirectoryObject]:
    """Thirty users; the last ten have no groups, Outer contains Inner."""
    users = tenant.add_users([new_user(f"user{number}@contoso.example") for number in range(30)])
    inner, outer = tenant.add_group("Inner"), tenant.add_group("Outer")
    tenant.add_member(inner, *users[:10])
    tenant.add_member(outer, inner, *users[10:20])
    return users


@pytest.fixture
def synced(tenant_sync: TenantSync, people: list[DirectoryObject], context: Context) -> SyncReport:
    report = tenant_sync.run(context)
    assert report.outcome is Outcome.COMPLETED, report
    return report


def user_of(ledger: Ledger, object_id: object) -> User:
    return next(user for user in ledger.scan(User) if user.object_id == str(object_id))


def groups_named(tenant: Tenant, *names: str) -> list[str]:
    ids = {group.display_name: group.id for group in tenant.snapshot().groups.values()}
    return [ids[name] for name in names]


def test_a_first_run_copies_everybody_with_their_groups(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context
) -> None:
    tenant.load(BulkLoad(users=250, groups=30, groups_per_user=4, nest_every=3))
    tenant.add_user("guest#EXT#@contoso.example", userType="Guest", mail=None)
    tenant.disable(tenant.add_user("disabled@contoso.example"))
    tenant.delete(tenant.add_user("deleted@contoso.example"))

    report = tenant_sync.run(context)

    assert (report.outcome, report.mode, report.created, report.failed) == (Outcome.COMPLETED, Mode.FULL, 252, 0)
    assert differences(tenant.snapshot(), ledger) == []


def test_a_run_without_changes_costs_two_requests_and_writes_nothing(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context, synced: SyncReport
) -> None:
    tenant.reset_traffic()
    before = ledger.head()

    report = tenant_sync.run(context)

    assert (report.outcome, report.mode, report.requests) == (Outcome.COMPLETED, Mode.DELTA, 2)
    assert tenant.traffic().requests == {"groups.delta": 1, "users.delta": 1}
    assert ledger.head() == before


def test_changes_of_all_kinds_arrive_with_the_next_run(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    context: Context,
    people: list[DirectoryObject],
    synced: SyncReport,
) -> None:
    ids = {user.object_id: user.id for user in ledger.scan(User)}
    tenant.add_user("new@contoso.example")
    tenant.update_user(people[0], userPrincipalName="renamed@contoso.example", mail=None, jobTitle="Analyst")
    tenant.disable(people[1])
    tenant.delete(people[2])
    tenant.delete(people[3])
    tenant.purge(people[3])

    report = tenant_sync.run(context)

    assert (report.created, report.updated, report.deactivated) == (1, 1, 3)
    assert differences(tenant.snapshot(), ledger) == []
    assert all(user.id == ids.get(user.object_id, 31) for user in ledger.scan(User))

    tenant.enable(people[1])
    tenant.restore(people[2])
    assert tenant_sync.run(context).updated == 2
    assert differences(tenant.snapshot(), ledger) == []


@pytest.mark.parametrize("order", [ORDINARY, FULL], ids=["changes", "full"])
def test_users_who_swap_their_names_stay_who_they_are(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    context: Context,
    people: list[DirectoryObject],
    synced: SyncReport,
    order: SyncOrder,
) -> None:
    ada, bob = people[:2]
    tenant.update_user(ada, userPrincipalName="parked@contoso.example")
    tenant.update_user(bob, userPrincipalName=ada.user_principal_name)
    tenant.update_user(ada, userPrincipalName=bob.user_principal_name)

    tenant_sync.run(context, order)

    assert user_of(ledger, ada).user_principal_name == bob.user_principal_name
    assert differences(tenant.snapshot(), ledger) == []


@pytest.mark.parametrize("reported", [True, False])
def test_groups_follow_whatever_happens_to_them(
    trusted_entra: EntraEmulator, ledger: Ledger, state: StateStore, context: Context, tenant_id: str, reported: bool
) -> None:
    tenant = trusted_entra.new_tenant(tenant_id, restore_reports_members=reported)
    graph = GraphClient(tenant.graph_url, credentials_of(tenant).graph_token, retry_policy=QUICK)
    sync = TenantSync(ledger, state, graph, Policy())
    users = tenant.add_users([new_user(f"user{number}@contoso.example") for number in range(6)])
    a, b, c = (tenant.add_group(name) for name in "ABC")
    tenant.add_member(a, users[0])
    tenant.add_member(b, a, users[1])
    tenant.add_member(c, b, users[2])

    def in_step() -> None:
        assert sync.run(context).outcome is Outcome.COMPLETED
        assert differences(tenant.snapshot(), ledger) == []

    in_step()
    tenant.add_member(a, users[3])
    tenant.remove_member(c, users[2])
    tenant.update_group(b, displayName="Beta")
    in_step()
    tenant.remove_member(c, b)
    in_step()
    tenant.add_member(c, b)
    tenant.delete(b)
    in_step()
    tenant.remove_member(a, users[3])
    tenant.add_member(b, users[4])
    in_step()
    tenant.restore(b)
    in_step()
    tenant.delete(users[0])
    in_step()
    tenant.remove_member(a, users[0])
    tenant.add_member(c, users[0])
    in_step()
    tenant.restore(users[0])
    in_step()
    d = tenant.add_group("D")
    tenant.add_member(d, a)
    tenant.delete(a)
    in_step()
    tenant.remove_member(d, a)
    in_step()
    tenant.restore(a)
    in_step()
    tenant.purge(c)
    in_step()
    trusted_entra.forget_tenant(tenant)


def test_a_group_that_loses_many_members_at_once(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context
) -> None:
    tenant.load(BulkLoad(users=250, groups=2, groups_per_user=2, nest_every=5))
    tenant_sync.run(context)
    assert differences(tenant.snapshot(), ledger) == []
    group = next(iter(tenant.snapshot().groups))
    for member in list(tenant.snapshot().groups[group].members)[:110]:
        tenant.remove_member(group, member)

    report = tenant_sync.run(context)

    assert report.updated == 110
    assert differences(tenant.snapshot(), ledger) == []


def test_observers_learn_of_every_departure_in_the_same_transaction(
    tenant: Tenant, ledger: Ledger, sync_with: SyncWith, context: Context, people: list[DirectoryObject]
) -> None:
    left: list[str] = []

    def mark(tx: Transaction, before: User | None, after: User) -> Sequence[CertificateLoss]:
        if before is not None and before.is_active and not after.is_active:
            left.append(str(after.object_id))
            tx.put(replace(after, revocation_pending=True))
        return ()

    sync = sync_with(Policy(), observers=[mark])
    sync.run(context)
    tenant.delete(people[0])
    tenant.disable(people[1])

    sync.run(context)

    assert sorted(set(left)) == sorted([people[0].id, people[1].id])
    assert all(user_of(ledger, people[number]).revocation_pending for number in (0, 1))


def test_a_local_user_is_none_of_its_business(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context
) -> None:
    LocalUsers(ledger).import_some([LocalUser("Local", email="user0@contoso.example")], context)
    tenant.add_user("user0@contoso.example")

    tenant_sync.run(context, FULL)

    local, copied = ledger.scan(User)
    assert (local.is_active, local.object_id) == (True, None)
    assert (copied.id, copied.is_active) == (2, True)


# --- Removals ---


def test_more_departures_than_the_limit_wait_for_an_operator(
    tenant: Tenant, ledger: Ledger, sync_with: SyncWith, context: Context, people: list[DirectoryObject]
) -> None:
    sync = sync_with(Policy(max_removals=3))
    sync.run(context)
    for user in people[:5]:
        tenant.delete(user)
    tenant.update_user(people[6], jobTitle="Boss")

    report = sync.run(context)

    assert report.outcome is Outcome.HELD
    assert user_of(ledger, people[0]).is_active
    assert user_of(ledger, people[6]).job_title == "Boss"
    held = sync.status().held
    assert held is not None
    assert held.removals > 3
    assert "--accept-removals" in held.reason

    assert sync.run(context).outcome is Outcome.HELD
    report = sync.run(context, SyncOrder(accept_removals=True))
    assert (report.outcome, report.deactivated) == (Outcome.COMPLETED, 5)
    assert sync.status().held is None
    assert differences(tenant.snapshot(), ledger) == []


def test_held_departures_that_return_are_forgotten(
    tenant: Tenant, ledger: Ledger, sync_with: SyncWith, context: Context, people: list[DirectoryObject]
) -> None:
    sync = sync_with(Policy(max_removals=3))
    sync.run(context)
    for user in people[:5]:
        tenant.delete(user)
    sync.run(context)
    for user in people[:3]:
        tenant.restore(user)

    report = sync.run(context)

    assert (report.outcome, report.deactivated) == (Outcome.COMPLETED, 2)
    assert differences(tenant.snapshot(), ledger) == []


def test_half_of_a_small_tenant_is_many(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context, people: list[DirectoryObject]
) -> None:
    tenant_sync.run(context)
    for user in people[:16]:
        tenant.delete(user)
    assert tenant_sync.run(context).outcome is Outcome.HELD
    assert all(user.is_active for user in ledger.scan(User))


def test_departures_of_users_whom_no_delta_reported_are_found_by_a_full_run(
    tenant: Tenant, tenant_sync: TenantSync, user_sync: UserSync, ledger: Ledger, context: Context
) -> None:
    ada = tenant.add_user("ada@contoso.example")
    tenant.add_user("bob@contoso.example")
    user_sync.sync("ada@contoso.example", context)
    tenant.delete(ada)

    report = tenant_sync.run(context)

    assert (report.created, report.deactivated) == (1, 1)
    assert user_of(ledger, ada).deletion is EntraDeletion.SOFT
    assert differences(tenant.snapshot(), ledger) == []


# --- Full runs again, scope, time ---


def test_a_second_full_run_changes_nothing(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context, synced: SyncReport
) -> None:
    before = ledger.head().seq
    report = tenant_sync.run(context, FULL)
    assert (report.mode, report.unchanged, report.created, report.updated) == (Mode.FULL, 30, 0, 0)
    assert ledger.head().seq == before


def test_only_members_of_the_scope_are_copied_and_those_who_leave_it_become_inactive(
    tenant: Tenant, ledger: Ledger, sync_with: SyncWith, context: Context, people: list[DirectoryObject]
) -> None:
    outer, inner = groups_named(tenant, "Outer", "Inner")
    sync = sync_with(Policy(group_ids=(outer,)))

    def in_step() -> SyncReport:
        report = sync.run(context)
        assert report.outcome is Outcome.COMPLETED
        assert differences(tenant.snapshot(), ledger, scope=[outer]) == []
        return report

    assert in_step().created == 20
    tenant.remove_member(outer, people[10])
    tenant.add_member(inner, people[25])
    tenant.update_user(people[28], jobTitle="Stranger")
    tenant.delete(people[29])
    report = in_step()
    assert (report.created, report.deactivated) == (1, 1)
    assert not user_of(ledger, people[10]).in_scope
    tenant.add_member(outer, people[10])
    in_step()
    tenant.remove_member(outer, inner)
    report = sync.run(context)
    assert report.outcome is Outcome.HELD
    assert sync.run(context, SyncOrder(accept_removals=True)).deactivated == 11
    assert differences(tenant.snapshot(), ledger, scope=[outer]) == []
    tenant.add_member(outer, inner)
    in_step()


def test_another_scope_makes_the_next_round_a_full_one(
    tenant: Tenant, ledger: Ledger, sync_with: SyncWith, context: Context, people: list[DirectoryObject]
) -> None:
    outer, inner = groups_named(tenant, "Outer", "Inner")
    sync_with(Policy(group_ids=(inner,))).run(context)
    wider = sync_with(Policy(group_ids=(outer,))).run(context)
    assert (wider.mode, wider.created) == (Mode.FULL, 10)
    everybody = sync_with(Policy()).run(context)
    assert (everybody.mode, everybody.created) == (Mode.FULL, 10)
    assert differences(tenant.snapshot(), ledger) == []


def test_a_run_without_time_is_continued_by_the_next_ones(
    tenant: Tenant, ledger: Ledger, sync_with: SyncWith, context: Context, small_pages: None
) -> None:
    tenant.load(BulkLoad(users=100, groups=20, groups_per_user=3))
    sync = sync_with(Policy(time_budget=timedelta(seconds=0.1)))
    reports = [sync.run(context)]
    while reports[-1].outcome is Outcome.CONTINUED and len(reports) < 50:
        reports.append(sync.run(context))
    assert reports[-1].outcome is Outcome.COMPLETED
    assert len(reports) > 2
    assert sum(report.created for report in reports) == 100
    assert differences(tenant.snapshot(), ledger) == []


# --- One at a time, and what it says ---


def test_a_second_runner_says_so_and_does_nothing(
    tenant: Tenant, tenant_sync: TenantSync, state: StateStore, context: Context, people: list[DirectoryObject]
) -> None:
    other = LeaseKeeper(state, LEASE_NAME)
    other.take("somebody else")

    report = tenant_sync.run(context)

    assert (report.outcome, report.requests) == (Outcome.BUSY, 0)
    assert "somebody else" in (report.error or "")
    with pytest.raises(LeaseTaken):
        tenant_sync.start(context)
    other.give_back()
    assert tenant_sync.run(context).outcome is Outcome.COMPLETED


def test_of_many_runners_at_once_one_works(
    tenant: Tenant, tables: TableStore, context: Context, people: list[DirectoryObject]
) -> None:
    reports: list[SyncReport] = []
    others_are_done = threading.Event()

    def wait(progress: SyncProgress) -> None:
        others_are_done.wait(60)

    def run() -> None:
        """As in a process of its own; whoever works waits for the others in the middle of it."""
        graph = GraphClient(tenant.graph_url, credentials_of(tenant).graph_token, retry_policy=QUICK)
        sync = TenantSync(Ledger(tables, tenant.id), StateStore(tables, tenant.id), graph, Policy())
        reports.append(sync.run(context, watch=wait))
        if len(reports) == 3:
            others_are_done.set()

    runners = [threading.Thread(target=run) for _ in range(4)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()

    assert [report.outcome for report in reports] == [Outcome.BUSY] * 3 + [Outcome.COMPLETED]
    assert differences(tenant.snapshot(), Ledger(tables, tenant.id)) == []


def test_a_runner_that_sleeps_through_its_lease_is_overtaken_and_stops(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    sync_with: SyncWith,
    context: Context,
    people: list[DirectoryObject],
    small_pages: None,
) -> None:
    lease_time = timedelta(seconds=1)
    overtaking: list[SyncReport] = []

    def sleep(progress: SyncProgress) -> None:
        if progress.phase is Phase.USERS and not overtaking:
            time.sleep(1.1 * lease_time.total_seconds())
            overtaking.append(tenant_sync.run(context))

    report = sync_with(Policy(), lease_time=lease_time).run(context, watch=sleep)

    assert (report.outcome, report.error_code) == (Outcome.FAILED, "sync_lease_lost")
    assert overtaking[0].outcome is Outcome.COMPLETED
    assert tenant_sync.status().last_run == overtaking[0]
    assert differences(tenant.snapshot(), ledger) == []


def test_a_run_can_be_started_and_watched_from_outside(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context, people: list[DirectoryObject]
) -> None:
    tenant_sync.start(context)
    deadline = time.monotonic() + 20
    while tenant_sync.status().last_run is None and time.monotonic() < deadline:
        time.sleep(0.1)

    status = tenant_sync.status()
    assert status.last_run is not None
    assert (status.last_run.outcome, status.last_run.created) == (Outcome.COMPLETED, 30)
    assert status.last_success_at is not None
    assert not status.needs_attention
    assert differences(tenant.snapshot(), ledger) == []


def test_a_preview_tells_and_does_nothing(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    context: Context,
    people: list[DirectoryObject],
    synced: SyncReport,
) -> None:
    tenant.delete(people[0])
    tenant.disable(people[1])
    tenant.add_user("new@contoso.example")
    before = ledger.head().seq

    preview = tenant_sync.preview(context)

    assert (preview.created, preview.updated, preview.leaving, preview.unchanged) == (1, 1, 1, 28)
    assert ledger.head().seq == before
    assert tenant_sync.run(context).created == 1


def test_each_run_leaves_one_line_in_the_log(
    tenant_sync: TenantSync, context: Context, people: list[DirectoryObject], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="entra_pki.sync")
    tenant_sync.run(context)
    [line] = [json.loads(record.getMessage()) for record in caplog.records if record.name == "entra_pki.sync"]
    assert (line["event"], line["outcome"], line["mode"], line["created"]) == ("sync", "completed", "full", 30)
    assert line["lag_s"] == 0
