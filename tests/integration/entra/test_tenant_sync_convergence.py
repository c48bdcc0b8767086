"""Whatever happens to the directory, and whatever Graph does meanwhile: in the end the ledger says the same.

"In the end" is after a run in which Graph behaves; only where Graph may have left something out of its deltas it is
after a full one.

Longer: TENANT_SYNC_STORIES=300 pytest tests/integration/entra/test_tenant_sync_convergence.py
"""

import contextlib
import os
import uuid
from collections.abc import Callable
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.entra import faults
from local.entra.control import EntraEmulator, new_user
from local.entra.faults import Fault, Point
from shared.context import Actor, ActorKind, Context, Deadline
from shared.directory.ledger import Ledger
from shared.directory.records.user import User
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.entra.graph import GraphClient
from shared.entra.tenant_sync import SyncOrder, TenantSync
from shared.entra.tenant_sync.report import Outcome
from shared.entra.user_sync import UserSync
from shared.errors import AppError
from tests.integration.entra.conftest import QUICK, Policy, credentials_of
from tests.support.in_step import differences
from tests.support.tenant_story import Event, TenantStory

STORIES = int(os.environ.get("TENANT_SYNC_STORIES", "12"))
KINDS = [
    "add_user",
    "add_group",
    "change",
    "clear",
    "rename",
    "swap",
    "disable",
    "delete_user",
    "restore_user",
    "purge_user",
    "join",
    "nest",
    "part",
    "rename_group",
    "delete_group",
    "restore_group",
    "purge_group",
]
DELTAS_TOO = r"/users"
FAULTS: list[Callable[[], Fault]] = [
    lambda: faults.throttled("0.01", times=2),
    lambda: faults.throttled(None, inside_batch=True, times=3),
    lambda: faults.failing(503, times=2),
    lambda: faults.dropped(times=2),
    lambda: faults.replayed_page(),
    lambda: faults.duplicated_objects(times=2),
    lambda: faults.duplicated_objects(path=r"(users|groups)\?"),
    lambda: faults.removed_strangers(),
    lambda: faults.gone(),
    lambda: faults.sync_state_not_found(),
    lambda: faults.expired_page_token(),
    lambda: faults.empty(path=r"/users\?"),
    lambda: faults.empty(path=DELTAS_TOO, times=3),
    lambda: faults.no_next_link(),
    lambda: faults.missing_properties("mail", "jobTitle", path="users"),
    lambda: faults.missing_properties("userPrincipalName", "displayName", path="(users|groups)", times=2),
    lambda: faults.missing_properties("accountEnabled", at=Point.BATCH, times=2),
    lambda: faults.foreign_link("https://127.0.0.1:9"),
    lambda: faults.failing(400, "Request_BadRequest", path="delta"),
    lambda: faults.body("<html>", path="users"),
]
EVENTS = st.builds(Event, st.sampled_from(KINDS), st.integers(0, 999), st.integers(0, 999))
STEPS = st.one_of(
    st.lists(EVENTS, min_size=1, max_size=6),
    st.lists(st.sampled_from(range(len(FAULTS))), min_size=1, max_size=3),
    st.sampled_from(["run", "run", "full", "one"]),
)


@settings(max_examples=STORIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(story=st.lists(STEPS, min_size=3, max_size=12), reported=st.booleans(), scoped=st.booleans())
def test_every_story_ends_in_step(
    trusted_entra: EntraEmulator,
    tables: TableStore,
    small_pages: None,
    story: list[object],
    reported: bool,
    scoped: bool,
) -> None:
    tenant = trusted_entra.new_tenant(str(uuid.uuid4()), restore_reports_members=reported)
    users = tenant.add_users([new_user(f"user{number}@contoso.example") for number in range(8)])
    staff, team = tenant.add_group("Staff"), tenant.add_group("Team")
    tenant.add_member(staff, *users[:4], team)
    tenant.add_member(team, *users[4:6])
    scope = (staff.id,) if scoped else ()
    happening = TenantStory(tenant, frozenset(scope))
    assert happening.kinds == KINDS
    ledger = Ledger(tables, tenant.id)
    graph = GraphClient(tenant.graph_url, credentials_of(tenant).graph_token, retry_policy=QUICK)
    context = Context(Actor(ActorKind.TIMER, "story"), "story", Deadline.after(timedelta(minutes=5)))
    sync = TenantSync(ledger, StateStore(tables, tenant.id), graph, Policy(group_ids=scope))
    ids: dict[str | None, int] = {}
    trusted = True

    for step in story:
        match step:
            case "run" | "full":
                sync.run(context, SyncOrder(full=step == "full"))
            case "one":
                names = [user.user_principal_name for user in tenant.snapshot().users.values()][:3]
                with contextlib.suppress(AppError):  # a fault may be armed that concerns the batch as a whole
                    UserSync(ledger, graph, scope=frozenset(scope)).sync_many(names, context)
            case list():
                for each in step:
                    if isinstance(each, Event):
                        happening.happen(each)
                        continue
                    fault = FAULTS[each]()
                    tenant.arm(fault)
                    trusted = trusted and fault.path != DELTAS_TOO
        now = {user.object_id: user.id for user in ledger.scan(User)}
        assert ids.items() <= now.items(), "a local id changed"
        ids = now

    tenant.disarm()
    order = SyncOrder(full=not trusted, accept_removals=True)
    outcomes = [sync.run(context, order).outcome for _ in range(2)]
    assert outcomes[-1] is Outcome.COMPLETED
    assert differences(tenant.snapshot(), ledger, scope) == []
    trusted_entra.forget_tenant(tenant)
