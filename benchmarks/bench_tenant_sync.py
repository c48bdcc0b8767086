"""The tenant sync: a first sync, then runs with no, some and many changes; each in a process of its own.

python -m benchmarks.bench_tenant_sync [--users 10000 100000] [--rows-per-second 1000000]
Against: one user at a time (a read and a list of groups for each), and the bare writing of the same rows.
"""

import argparse
import multiprocessing
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.sync_stage import TABLE, Place, context, stage
from local.entra.bulk import BulkLoad
from local.entra.control import Tenant
from shared.directory.batch import Method, Operation, build_batch
from shared.directory.ledger import Ledger
from shared.directory.records.user import ObjectIdLink, User
from shared.directory.rows import encode_row
from shared.directory.state import StateStore
from shared.entra.tenant_sync.checkpoint import CheckpointStore
from shared.entra.tenant_sync.group_graph_store import GroupGraphStore

T = TypeVar("T")

GROUPS = 1000
GROUPS_PER_USER = 5
CHANGES = (0, 100, 10_000)
PEER_REQUESTS, PEER_UNITS = 2, 2
"""One user at a time: GET /users/{id} costs 1 unit, transitiveMemberOf with $select 1
(https://learn.microsoft.com/graph/throttling-limits#identity-and-access-service-limits)."""
LIMIT_ROWS = 3920
_REAL_UNITS_PER_SECOND = 800
"""8,000 units in 10 s, for tenants of more than 500 users."""


@dataclass(frozen=True)
class Run:
    """What one run cost. Memory in MiB: of the whole process at its peak."""

    outcome: str
    seconds: float
    users: int
    requests: int
    units: int
    memory: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000])
    parser.add_argument("--rows-per-second", type=int, default=1_000_000, help="the pace to keep; Azure's: 1500")
    options = parser.parse_args()
    with stage() as (azurite, entra):
        for users in options.users:
            tenant = entra.new_tenant()
            tenant.load(BulkLoad(users=users, groups=GROUPS, groups_per_user=GROUPS_PER_USER))
            measure(tenant, Place.of(azurite, entra, tenant), users, options.rows_per_second)
            entra.forget_tenant(tenant)


def measure(tenant: Tenant, place: Place, users: int, pace: int) -> None:
    ledger = Ledger(place.tables(), place.tenant_id)
    heads = f"{'s':>8}{'users/s':>9}{'requests':>10}{'ratio':>9}{'units':>9}{'ratio':>9}{'transactions':>14}{'MiB':>7}"
    print(f"\n{f'{users} users, {GROUPS} groups, {GROUPS_PER_USER} a user':<36}{heads}")
    print(f"  {'a process that does nothing':<34}{'':>68}{isolated(nothing):>7.0f}")
    first = line("first sync", ledger, lambda: isolated(sync, place, pace), users)
    everybody = [user.object_id for user in ledger.scan(User)]
    for changes in CHANGES:
        if changes <= users:
            tenant.update_many([(str(each), {"jobTitle": f"{changes} changed"}) for each in everybody[:changes]])
            line(f"run after {changes} changes", ledger, lambda: isolated(sync, place, pace), users)
    line("full sync again", ledger, lambda: isolated(sync, place, pace, True), users)
    rows = first.users * 2 / first.seconds
    limit = bare_rows(place, ledger)
    print(
        f"  rows written a second: {rows:.0f}; the same rows in bare transactions {limit:.0f}; ratio {rows / limit:.2f}"
    )
    print(f"  group graph: {isolated(graph_size, place)}")
    seconds = first.units / _REAL_UNITS_PER_SECOND
    print(
        f"  at Graph's {_REAL_UNITS_PER_SECOND} units/s the first sync takes {seconds:.0f} s, "
        f"one user at a time {users * PEER_UNITS / _REAL_UNITS_PER_SECOND:.0f} s"
    )


def line(name: str, ledger: Ledger, work: Callable[[], Run], users: int) -> Run:
    before = ledger.head().seq
    run = work()
    assert run.outcome == "completed", run
    peer_requests, peer_units = users * PEER_REQUESTS, users * PEER_UNITS
    print(
        f"  {name:<34}{run.seconds:>8.1f}{run.users / run.seconds:>9.0f}"
        f"{run.requests:>10}{run.requests / peer_requests:>9.5f}{run.units:>9}{run.units / peer_units:>9.5f}"
        f"{ledger.head().seq - before:>14}{run.memory:>7.0f}",
        flush=True,
    )
    return run


def isolated(work: Callable[..., T], *arguments: object) -> T:
    """The result of `work` in a fresh process, whose memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def nothing() -> float:
    forget_peak()
    return peak()


def peak() -> float:
    """The peak of this process's memory, MiB, since `forget_peak`."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak() -> None:
    """A child begins with its parent's peak (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def sync(place: Place, rows_per_second: int, full: bool = False) -> Run:
    from shared.entra.tenant_sync import SyncOrder

    forget_peak()
    tenant_sync = place.tenant_sync(rows_per_second)
    started = time.perf_counter()
    report = tenant_sync.run(context(), SyncOrder(full=full))
    seconds = time.perf_counter() - started
    return Run(str(report.outcome), seconds, report.counts.seen, report.requests, report.resource_units, peak())


def graph_size(place: Place) -> str:
    state = StateStore(place.tables(), place.tenant_id)
    checkpoint = CheckpointStore(state).load()
    graph = GroupGraphStore(state, checkpoint.graph, 0)
    edges = max(1, graph.graph.edges)
    kept = graph.stored_bytes()
    return f"{edges} edges, {kept / edges:.1f} bytes an edge kept, {graph.graph.memory / edges:.1f} in memory"


def bare_rows(place: Place, ledger: Ledger) -> float:
    """Rows a second that the same table takes in transactions of 100, of the rows just written, without a ledger."""
    tables, partition = place.tables(), str(uuid.uuid4())
    rows = list(_rows(ledger))
    started = time.perf_counter()
    for start in range(0, len(rows), 98):
        operations = [Operation(Method.INSERT, key, properties) for key, properties in rows[start : start + 98]]
        batch = build_batch(tables.url, TABLE, partition, operations, str(uuid.uuid4()))
        tables.transact(batch, context().deadline)
    return len(rows) / (time.perf_counter() - started)


def _rows(ledger: Ledger) -> Iterator[tuple[str, dict[str, object]]]:
    for number, user in enumerate(ledger.scan(User)):
        if 2 * number >= LIMIT_ROWS:
            return
        link = ObjectIdLink(object_id=str(user.object_id), user_id=user.id)
        yield user.key, encode_row(user.to_row())
        yield link.key, encode_row(link.to_row())


if __name__ == "__main__":
    main()
