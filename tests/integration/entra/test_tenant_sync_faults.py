"""The tenant sync while Graph misbehaves: nobody loses anything by it, and in the end all is in step."""

import json
import random
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from local.entra import faults
from local.entra.bulk import BulkLoad
from local.entra.control import DirectoryObject, Tenant, new_user
from local.entra.faults import Fault, Point
from shared.context import Context
from shared.directory.ledger import Ledger
from shared.directory.records.user import User
from shared.directory.state import StateStore
from shared.entra.graph import GraphClient
from shared.entra.tenant_sync import ORDINARY, SyncOrder, TenantSync
from shared.entra.tenant_sync.checkpoint import CheckpointStore
from shared.entra.tenant_sync.report import Mode, Outcome, Phase, SyncProgress, SyncReport
from tests.integration.entra.conftest import Policy, SyncWith
from tests.support.in_step import differences
from tests.support.pki import SettableClock

FULL = SyncOrder(full=True)


@pytest.fixture
def people(tenant: Tenant) -> list[DirectoryObject]:
    users = tenant.add_users([new_user(f"user{number}@contoso.example", jobTitle="Clerk") for number in range(60)])
    inner, outer = tenant.add_group("Inner"), tenant.add_group("Outer")
    tenant.add_member(inner, *users[:30])
    tenant.add_member(outer, inner, *users[30:50])
    return users


@pytest.fixture
def synced(tenant_sync: TenantSync, people: list[DirectoryObject], context: Context) -> SyncReport:
    return tenant_sync.run(context)


def change_something(tenant: Tenant, people: list[DirectoryObject]) -> None:
    tenant.update_user(people[0], userPrincipalName="renamed@contoso.example")
    tenant.disable(people[1])
    tenant.delete(people[2])
    tenant.add_user("new@contoso.example")
    group = tenant.add_group("Third")
    tenant.add_member(group, people[3], people[4])


STORMS = {
    "429 with Retry-After": [faults.throttled("0.01", times=5)],
    "429 without": [faults.throttled(None, times=5)],
    "429 with Retry-After in batches": [faults.throttled("0.01", inside_batch=True, times=5)],
    "429 without, in batches": [faults.throttled(None, inside_batch=True, times=5)],
    "429 everywhere": [
        faults.throttled("0.01", times=None, probability=0.4, seed=7),
        faults.throttled(None, inside_batch=True, times=None, probability=0.4, seed=7),
    ],
    "server errors": [faults.failing(503, times=3), faults.failing(500, at=Point.BATCH, times=3), faults.failing(504)],
    "dropped and cut connections": [faults.dropped(times=4), faults.truncated(times=3)],
    "a bad line": [faults.dropped(times=None, probability=0.3, seed=8), faults.slow(0.05, times=20)],
}


@pytest.mark.parametrize("order", [ORDINARY, FULL], ids=["changes", "full"])
@pytest.mark.parametrize("storm", STORMS.values(), ids=STORMS)
def test_storms_pass(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    context: Context,
    people: list[DirectoryObject],
    synced: SyncReport,
    storm: list[Fault],
    order: SyncOrder,
) -> None:
    change_something(tenant, people)
    armed = [tenant.arm(fault) for fault in storm]

    report = tenant_sync.run(context, order)

    assert report.outcome is Outcome.COMPLETED, report
    assert differences(tenant.snapshot(), ledger) == []
    assert all(tenant.struck(number) for number in armed)


@pytest.mark.parametrize(
    ("fault", "order"),
    [
        (faults.replayed_page(path="users/delta", times=2), SyncOrder()),
        (faults.replayed_page(path="groups/delta", times=2), FULL),
        (faults.duplicated_objects(times=4), SyncOrder()),
        (faults.duplicated_objects(path="(users|groups)\\?", times=4), FULL),
        (faults.removed_strangers(path="users/delta"), FULL),
        (faults.removed_strangers(path="groups/delta"), SyncOrder()),
        (faults.gone(path="users/delta"), SyncOrder()),
        (faults.gone(path="groups/delta"), FULL),
        (faults.sync_state_not_found(path="users/delta"), FULL),
        (faults.sync_state_not_found(404, path="groups/delta"), SyncOrder()),
        (faults.missing_properties("jobTitle", "mail", path="users/delta"), SyncOrder()),
        (faults.missing_properties("userPrincipalName", path="users/delta"), SyncOrder()),
        (faults.missing_properties("displayName", "accountEnabled", path="users"), FULL),
        (faults.missing_properties("displayName", path="groups"), SyncOrder()),
    ],
)
def test_odd_answers_do_no_harm(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    context: Context,
    people: list[DirectoryObject],
    synced: SyncReport,
    fault: Fault,
    order: SyncOrder,
) -> None:
    change_something(tenant, people)
    number = tenant.arm(fault)

    tenant_sync.run(context, order)
    assert tenant.struck(number)
    tenant.disarm()
    report = tenant_sync.run(context)

    assert report.outcome is Outcome.COMPLETED, report
    assert differences(tenant.snapshot(), ledger) == []


def test_a_delta_link_too_old_leads_to_a_full_round(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    context: Context,
    people: list[DirectoryObject],
    synced: SyncReport,
) -> None:
    change_something(tenant, people)
    tenant.advance_clock(timedelta(days=8))
    report = tenant_sync.run(context)
    assert (report.outcome, tenant_sync.status().last_success_at is not None) == (Outcome.COMPLETED, True)
    assert report.unchanged >= 55
    assert differences(tenant.snapshot(), ledger) == []


def test_a_page_token_that_expires_restarts_only_its_listing(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context, small_pages: None
) -> None:
    tenant.load(BulkLoad(users=20, groups=3, groups_per_user=1))
    tenant.arm(faults.expired_page_token(path=r"/users\?.*skiptoken", skip=1))

    report = tenant_sync.run(context)

    assert (report.outcome, report.created) == (Outcome.COMPLETED, 20)
    assert tenant.traffic().requests["groups.list"] == 1
    assert tenant.traffic().requests["users.list"] == 5
    assert differences(tenant.snapshot(), ledger) == []


def test_page_tokens_that_expire_again_and_again_delay_a_first_sync_but_do_not_stop_it(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context, small_pages: None
) -> None:
    tenant.load(BulkLoad(users=40, groups=8, groups_per_user=2))
    number = tenant.arm(faults.expired_page_token(path=r"/users\?.*skiptoken", skip=2, times=8))

    first, second = tenant_sync.run(context), tenant_sync.run(context)

    assert tenant.struck(number) == 8
    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.COMPLETED)
    assert (first.created, second.created) == (21, 19)
    assert differences(tenant.snapshot(), ledger) == []


# --- Departures that are none, and some that come at a bad moment ---


@pytest.mark.parametrize("reason", ["changed", "deleted"])
def test_a_removal_that_is_not_true_takes_nothing(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    state: StateStore,
    context: Context,
    people: list[DirectoryObject],
    synced: SyncReport,
    reason: str,
) -> None:
    link = CheckpointStore(state).load().users_link
    told = {"value": [{"id": people[0].id, "@removed": {"reason": reason}}], "@odata.deltaLink": link}
    tenant.arm(faults.body(json.dumps(told), path="users/delta"))

    report = tenant_sync.run(context)

    assert (report.outcome, report.deactivated) == (Outcome.COMPLETED, 0)
    assert differences(tenant.snapshot(), ledger) == []


def test_who_leaves_comes_back_or_is_renamed_while_the_first_round_lists_is_in_step_at_its_end(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context, small_pages: None
) -> None:
    users = tenant.add_users([new_user(f"user{number}@contoso.example") for number in range(30)])
    gone = tenant.add_users([new_user(f"gone{number}@contoso.example") for number in range(2)])
    for user in gone:
        tenant.delete(user)
    happened: list[SyncProgress] = []

    def meanwhile(progress: SyncProgress) -> None:
        """Once, when some are listed already and others are not."""
        if progress.phase is Phase.USERS and 10 < progress.counts.seen < 20 and not happened:
            happened.append(progress)
            tenant.restore(gone[0])
            tenant.purge(gone[1])
            for user in (users[0], users[29]):
                tenant.delete(user)
            for user in (users[1], users[28]):
                tenant.delete(user)
                tenant.purge(user)
            tenant.update_user(users[2], userPrincipalName="parked@contoso.example")
            tenant.update_user(users[27], userPrincipalName="user2@contoso.example")
            tenant.update_user(users[2], userPrincipalName="user27@contoso.example")

    report = tenant_sync.run(context, watch=meanwhile)

    assert len(happened) == 1
    assert report.outcome is Outcome.COMPLETED
    assert differences(tenant.snapshot(), ledger) == []


# --- Answers that are too short ---


def nobody_was_deactivated(ledger: Ledger) -> bool:
    return all(user.is_active for user in ledger.scan(User))


@pytest.mark.parametrize(
    "emptied",
    [
        faults.empty(path="users", times=None),
        faults.empty(times=None),
        faults.empty(path=r"/users\?", times=None),
    ],
)
def test_an_empty_directory_takes_nothing_from_anybody_and_is_told(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    context: Context,
    people: list[DirectoryObject],
    synced: SyncReport,
    emptied: Fault,
) -> None:
    groups = {user.object_id: user.group_ids for user in ledger.scan(User)}
    tenant.arm(emptied)

    for _ in range(2):
        report = tenant_sync.run(context, FULL)
        assert report.outcome is Outcome.INCOMPLETE
        assert tenant_sync.status().needs_attention
        assert nobody_was_deactivated(ledger)
        assert {user.object_id: user.group_ids for user in ledger.scan(User)} == groups

    tenant.disarm()
    change_something(tenant, people)
    assert tenant_sync.run(context).outcome is Outcome.COMPLETED
    assert not tenant_sync.status().needs_attention
    assert differences(tenant.snapshot(), ledger) == []


def test_what_a_delta_left_out_is_found_by_the_full_round_of_the_week(
    tenant: Tenant, ledger: Ledger, sync_with: SyncWith, context: Context, people: list[DirectoryObject]
) -> None:
    clock = SettableClock(datetime.now(UTC))
    sync = sync_with(Policy(), clock=clock)
    assert sync.run(context).created == 60
    tenant.disable(people[0])
    tenant.add_user("new@contoso.example")
    tenant.arm(faults.empty(path="users/delta"))

    for _ in range(2):
        report = sync.run(context)
        assert (report.mode, report.created, report.deactivated) == (Mode.DELTA, 0, 0)
    clock.now += timedelta(days=7, minutes=1)
    report = sync.run(context)

    assert (report.mode, report.created, report.deactivated) == (Mode.FULL, 1, 1)
    assert sync.run(context).mode is Mode.DELTA
    assert differences(tenant.snapshot(), ledger) == []


def test_an_empty_directory_that_denies_everybody_is_held(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    context: Context,
    people: list[DirectoryObject],
    synced: SyncReport,
) -> None:
    tenant.arm(faults.removed_strangers(times=None))
    tenant.arm(faults.failing(404, "Request_ResourceNotFound", at=Point.BATCH, times=None))
    for user in people[:40]:
        tenant.delete(user)

    assert tenant_sync.run(context).outcome is Outcome.HELD
    assert nobody_was_deactivated(ledger)


@pytest.mark.parametrize("path", [r"/users\?", r"/groups\?", "/members"])
@pytest.mark.parametrize("first", [True, False])
def test_a_page_that_lost_its_next_link_is_noticed(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context, small_pages: None, path: str, first: bool
) -> None:
    tenant.load(BulkLoad(users=50, groups=20, groups_per_user=1))
    everybody = tenant.add_group("Everybody")
    tenant.add_member(everybody, *tenant.snapshot().users)
    if not first:
        tenant_sync.run(context)
    tenant.arm(faults.no_next_link(path=path))
    tenant.arm(faults.no_next_link(path=path, at=Point.BATCH, times=None if path == "/members" else 1))

    report = tenant_sync.run(context, FULL)
    assert not first or report.outcome in (Outcome.COMPLETED, Outcome.FAILED)
    assert nobody_was_deactivated(ledger)
    tenant.disarm()

    assert tenant_sync.run(context).outcome is Outcome.COMPLETED
    assert differences(tenant.snapshot(), ledger) == []


@pytest.mark.parametrize("path", ["users/delta", "groups/delta"])
def test_changes_that_end_without_a_link_are_read_again(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    context: Context,
    people: list[DirectoryObject],
    synced: SyncReport,
    path: str,
) -> None:
    tenant.update_many([(user, {"department": "x"}) for user in people])
    tenant.load(BulkLoad(users=0, groups=210))
    tenant.add_users([new_user(f"more{number}@contoso.example") for number in range(210)])
    tenant.arm(faults.no_next_link(path=path))

    assert tenant_sync.run(context).outcome is Outcome.INCOMPLETE
    assert tenant_sync.run(context).outcome is Outcome.COMPLETED
    assert differences(tenant.snapshot(), ledger) == []


# --- Whom it trusts ---


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    """Another host, which would hear of any connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.mark.parametrize(
    ("scheme", "path"),
    [
        ("https", "users/delta"),
        ("http", "groups/delta"),
        ("http", r"/users\?"),
        ("https", r"/groups\?"),
        ("https", "members"),
    ],
)
def test_a_link_to_another_host_ends_the_run_and_is_never_followed(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    context: Context,
    small_pages: None,
    stranger: socket.socket,
    scheme: str,
    path: str,
) -> None:
    tenant.load(BulkLoad(users=20, groups=8, groups_per_user=8))
    base = f"{scheme}://127.0.0.1:{stranger.getsockname()[1]}"
    tenant.arm(faults.foreign_link(base, path=path, at=Point.BATCH if path == "members" else Point.GRAPH))

    report = tenant_sync.run(context)

    assert (report.outcome, report.error_code) == (Outcome.FAILED, "graph_untrusted_link")
    with pytest.raises(BlockingIOError):
        stranger.accept()
    assert tenant_sync.run(context).outcome is Outcome.COMPLETED
    assert differences(tenant.snapshot(), ledger) == []


def test_a_missing_permission_is_told_in_the_report(
    tenant: Tenant, tenant_sync: TenantSync, context: Context, people: list[DirectoryObject]
) -> None:
    tenant.grant("User.Read.All")
    report = tenant_sync.run(context)
    assert report.outcome is Outcome.FAILED
    assert "GroupMember.Read.All" in (report.error or "")


# --- Broken records ---


def test_one_broken_record_is_reported_and_the_others_arrive(
    tenant: Tenant, tenant_sync: TenantSync, ledger: Ledger, context: Context, people: list[DirectoryObject]
) -> None:
    tenant.update_user(people[7], jobTitle="x" * 5000)

    report = tenant_sync.run(context)

    assert (report.outcome, report.created, report.failed) == (Outcome.COMPLETED, 59, 1)
    status = tenant_sync.status()
    assert list(status.broken) == [people[7].id]
    assert status.errors[0].object_id == people[7].id

    tenant.update_user(people[7], jobTitle="Clerk")
    report = tenant_sync.run(context)
    assert (report.created, report.failed) == (1, 0)
    assert tenant_sync.status().broken == {}
    assert differences(tenant.snapshot(), ledger) == []


def test_a_known_user_whose_record_breaks_keeps_what_we_know(
    tenant: Tenant,
    tenant_sync: TenantSync,
    ledger: Ledger,
    context: Context,
    people: list[DirectoryObject],
    synced: SyncReport,
) -> None:
    tenant.update_user(people[7], jobTitle="x" * 5000)
    for order in (SyncOrder(), FULL):
        report = tenant_sync.run(context, order)
        assert (report.outcome, report.deactivated) == (Outcome.COMPLETED, 0)
        assert nobody_was_deactivated(ledger)


# --- Time ---


class JumpingClock:
    def __init__(self) -> None:
        self.random = random.Random(5)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=self.random.choice([-30, 0, 0, 30]))


def test_a_clock_that_jumps_by_days_does_not_matter(
    tenant: Tenant,
    ledger: Ledger,
    state: StateStore,
    graph: GraphClient,
    context: Context,
    people: list[DirectoryObject],
) -> None:
    sync = TenantSync(ledger, state, graph, Policy(), clock=JumpingClock())
    calm = TenantSync(ledger, state, graph, Policy())
    for round_number in range(4):
        tenant.update_user(people[round_number], jobTitle=f"Round {round_number}")
        tenant.disable(people[10 + round_number])
        for _ in range(8):
            if sync.run(context).outcome is Outcome.COMPLETED:
                break
    assert calm.run(context).outcome is Outcome.COMPLETED
    assert differences(tenant.snapshot(), ledger) == []


def test_a_mode_is_told_with_the_report(tenant_sync: TenantSync, context: Context, synced: SyncReport) -> None:
    assert synced.mode is Mode.FULL
    assert tenant_sync.run(context).mode is Mode.DELTA
