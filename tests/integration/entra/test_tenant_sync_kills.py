"""A sync whose process is killed at any of its requests, again and again, while the directory keeps changing.

Longer: TENANT_SYNC_KILLS=400 pytest tests/integration/entra/test_tenant_sync_kills.py
"""

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from local.azurite.azurite import Azurite
from local.entra import faults
from local.entra.control import EntraEmulator, Tenant, new_user
from shared.context import Context
from shared.directory.ledger import Ledger
from shared.directory.records.base import row_sha256
from shared.directory.records.user import User
from shared.entra.tenant_sync import SyncOrder
from shared.entra.tenant_sync.report import Outcome
from shared.errors import AppError
from tests.support.in_step import differences
from tests.support.killed_sync import DEPARTURES, LEASE_TIME, Place, sync_once, tenant_sync
from tests.support.pki import TestCa, order, software_backend
from tests.support.pki import context as pki_context
from tests.support.tenant_story import TenantStory

KILLS = int(os.environ.get("TENANT_SYNC_KILLS", "16"))
CERTIFICATES = 12
SEED = int(os.environ.get("TENANT_SYNC_SEED", "20260101"))


def test_killed_anywhere_nothing_is_lost_and_nothing_is_done_twice(
    trusted_entra: EntraEmulator, azurite: Azurite, tenant: Tenant, ledger: Ledger, context: Context, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    tenant.add_users([new_user(f"user{number}@contoso.example") for number in range(40)])
    story = TenantStory(tenant)
    place = Place.of(tenant, azurite.connection_string, str(trusted_entra.ca_bundle_path))
    ca = TestCa.on(ledger, software_backend(tmp_path)).initialize()
    children = multiprocessing.get_context("forkserver")
    children.set_forkserver_preload(["tests.support.killed_sync"])
    ends: Counter[int] = Counter()
    ids: dict[str | None, int] = {}

    for _ in range(KILLS):
        story.happen_at_random(chance, chance.randrange(4))
        if chance.random() < 0.2:
            tenant.arm(chance.choice([faults.throttled("0.01"), faults.dropped(), faults.gone(), faults.failing(503)]))
        order = SyncOrder(full=chance.random() < 0.15)
        die_at = min(chance.randrange(1, 80), chance.randrange(1, 80))
        child = children.Process(target=sync_once, args=(place, order, die_at, chance.random() < 0.5))
        child.start()
        child.join(60)
        assert child.exitcode is not None
        ends[child.exitcode] += 1
        users = list(ledger.scan(User))
        if users and len(ca.certificates()) < CERTIFICATES:
            certify_one(ca, chance, users)
        now = {user.object_id: user.id for user in users}
        assert ids.items() <= now.items(), "a local id changed"
        ids = now
        if chance.random() < 0.6:
            time.sleep(LEASE_TIME.total_seconds())  # the dead runner's lease has to end before the next can begin

    time.sleep(LEASE_TIME.total_seconds())
    tenant.disarm()
    sync = tenant_sync(place)
    assert [sync.run(context).outcome for _ in range(2)][-1] is Outcome.COMPLETED
    assert differences(tenant.snapshot(), ledger) == []
    assert ends[-signal.SIGKILL] > KILLS / 3, ends
    assert_log_tells_every_change_once(ledger)
    users_by_id = {user.id: user for user in ledger.scan(User)}
    for certificate in ca.certificates():
        user = users_by_id[certificate.user_id or 0]
        assert DEPARTURES.outcome(certificate, user) == certificate, f"{certificate.status} does not fit {user}"


def certify_one(ca: TestCa, chance: random.Random, users: list[User]) -> None:
    """Somebody gets a certificate, as long as the directory, not in step as it may be, lets them."""
    with contextlib.suppress(AppError):
        ca.issuance.issue(order(chance.choice(users)), pki_context())


def assert_log_tells_every_change_once(ledger: Ledger) -> None:
    """Read in order, each log row changes its records, and the last to name a record has its hash."""
    last: dict[str, str | None] = {}
    for row in ledger.log(0):
        for operation in row.operations:
            for change in operation.changes:
                assert last.get(change.key) != change.sha256, f"{change.key} was written twice in the same state"
                last[change.key] = change.sha256
    for user in ledger.scan(User):
        assert last[user.key] == row_sha256(user.to_row())
