"""The tenant sync: a first sync, then runs with no, some and many changes; each in a process of its own.

python -m benchmarks.bench_tenant_sync [--users 10000 100000] [--groups 1000]
Against: one user at a time (a read and a list of groups for each), and the bare writing of the same rows. Without a
pace, as Azurite needs none, and at the end with the one that suits Azure.
"""

import argparse
import multiprocessing
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.sync_stage import TABLE, Place, context, stage
from local.azurite.azurite import Azurite
from local.entra.bulk import BulkLoad
from local.entra.control import EntraEmulator, Tenant
from shared.directory.batch import Method, Operation, build_batch
from shared.directory.ledger import Ledger
from shared.directory.records.user import ObjectIdLink, User
from shared.directory.rows import encode_row
from shared.directory.state import StateStore
from shared.entra.tenant_sync.checkpoint import CheckpointStore
from shared.entra.tenant_sync.group_graph_store import GroupGraphStore

T = TypeVar("T")

GROUPS_PER_USER = 5
CHANGES = (0, 100, 10_000)
PEER_REQUESTS, PEER_UNITS = 2, 2
"""One user at a time: GET /users/{id} costs 1 unit, transitiveMemberOf with $select 1
(https://learn.microsoft.com/graph/throttling-limits#identity-and-access-service-limits)."""
LIMIT_ROWS = 3920
UNPACED, AZURE_PACE = 1_000_000, 1500
"""Rows a second; the latter is the default of ENTRA_SYNC_ROWS_PER_SECOND."""
HEADS = (
    f"{'s':>7}{'users/s':>9}{'requests':>9}{'ratio':>9}{'units':>8}{'ratio':>9}{'transactions':>15}{'MiB':>5}"
    f"  {'sync':>8}{'Azurite':>8}{'Entra':>8}"
)
"""The last three: processor time of the sync, of Azurite and of the emulator, in parts of one core."""
_REAL_UNITS_PER_SECOND = 800
"""8,000 units in 10 s, for tenants of more than 500 users."""


@dataclass(frozen=True)
class Run:
    """What one run cost. `memory`: MiB, the peak of its whole process; `processor`: seconds of processor time."""

    outcome: str
    seconds: float
    users: int
    requests: int
    units: int
    memory: float
    processor: float


@dataclass(frozen=True)
class Stage:
    """A tenant, where it is synchronized to, and the servers whose processor time is looked at."""

    tenant: Tenant
    place: Place
    ledger: Ledger
    azurite: int
    entra: int
    users: int
    groups: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000])
    parser.add_argument("--groups", type=int, default=1000)
    options = parser.parse_args()
    with stage() as (azurite, entra):
        for users in options.users:
            with populated(azurite, entra, users, options.groups) as on:
                measure(on)
        with populated(azurite, entra, min(options.users), options.groups) as on:
            measure_pace(on)


@contextmanager
def populated(azurite: Azurite, entra: EntraEmulator, users: int, groups: int) -> Iterator[Stage]:
    tenant = entra.new_tenant()
    tenant.load(BulkLoad(users=users, groups=groups, groups_per_user=GROUPS_PER_USER if groups else 0))
    place = Place.of(azurite, entra, tenant)
    ledger = Ledger(place.tables(), place.tenant_id)
    print(f"\n{f'{users} users, {groups} groups, {GROUPS_PER_USER} a user':<29}{HEADS}")
    yield Stage(tenant, place, ledger, azurite.process.pid, entra.pid, users, groups)
    entra.forget_tenant(tenant)


def measure(on: Stage) -> None:
    print(f"  {'a process that does nothing':<27}{'':>66}{isolated(nothing):>5.0f}")
    on.tenant.reset_traffic()
    first = line("first sync", on, lambda: isolated(sync, on.place, UNPACED))
    print("    " + ", ".join(f"{kind} {count}" for kind, count in sorted(on.tenant.traffic().requests.items())))
    everybody = [user.object_id for user in on.ledger.scan(User)]
    for changes in CHANGES:
        if changes <= on.users:
            on.tenant.update_many([(str(each), {"jobTitle": f"{changes} changed"}) for each in everybody[:changes]])
            line(f"run after {changes} changes", on, lambda: isolated(sync, on.place, UNPACED))
    line("full sync again", on, lambda: isolated(sync, on.place, UNPACED, True))
    compare_with_bare_rows(on, first)
    print(f"  group graph: {isolated(graph_size, on.place)}")
    seconds = first.units / _REAL_UNITS_PER_SECOND
    print(
        f"  at Graph's {_REAL_UNITS_PER_SECOND} units/s the first sync takes {seconds:.0f} s, "
        f"one user at a time {on.users * PEER_UNITS / _REAL_UNITS_PER_SECOND:.0f} s"
    )


def compare_with_bare_rows(on: Stage, first: Run) -> None:
    rows = first.users * 2 / first.seconds
    before = processor_seconds(on.azurite)
    bare = bare_rows(on.place, on.ledger)
    share = (processor_seconds(on.azurite) - before) / bare.seconds
    print(
        f"  rows of users written a second: {rows:.0f}; the same in bare transactions {bare.rows / bare.seconds:.0f}, "
        f"with Azurite at {share:.0%} of a core; ratio {rows * bare.seconds / bare.rows:.2f}"
    )


def measure_pace(on: Stage) -> None:
    run = line(f"first sync at {AZURE_PACE} rows/s", on, lambda: isolated(sync, on.place, AZURE_PACE))
    transactions = on.ledger.head().seq
    rows = 2 * run.users + on.groups + 2 * transactions
    print(f"  {rows} rows, of which {2 * transactions} heads and log rows: {rows / run.seconds:.0f} a second")


def line(name: str, on: Stage, work: Callable[[], Run]) -> Run:
    before = on.ledger.head().seq, processor_seconds(on.azurite), processor_seconds(on.entra)
    run = work()
    assert run.outcome == "completed", run
    busy = (
        run.processor / run.seconds,
        (processor_seconds(on.azurite) - before[1]) / run.seconds,
        (processor_seconds(on.entra) - before[2]) / run.seconds,
    )
    peer_requests, peer_units = on.users * PEER_REQUESTS, on.users * PEER_UNITS
    print(
        f"  {name:<27}{run.seconds:>7.1f}{run.users / run.seconds:>9.0f}"
        f"{run.requests:>9}{run.requests / peer_requests:>9.5f}{run.units:>8}{run.units / peer_units:>9.5f}"
        f"{on.ledger.head().seq - before[0]:>15}{run.memory:>5.0f}  " + "".join(f"{each:>8.0%}" for each in busy),
        flush=True,
    )
    return run


def processor_seconds(pid: int) -> float:
    """What a process has used so far, all its threads together (proc(5), stat: utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    started, used = time.perf_counter(), time.process_time()
    report = tenant_sync.run(context(), SyncOrder(full=full))
    seconds = time.perf_counter() - started
    seen, used = report.counts.seen, time.process_time() - used
    return Run(str(report.outcome), seconds, seen, report.requests, report.resource_units, peak(), used)


def graph_size(place: Place) -> str:
    state = StateStore(place.tables(), place.tenant_id)
    checkpoint = CheckpointStore(state).load()
    graph = GroupGraphStore(state, checkpoint.graph, 0)
    edges = max(1, graph.graph.edges)
    kept = graph.stored_bytes()
    return f"{edges} edges, {kept / edges:.1f} bytes an edge kept, {graph.graph.memory / edges:.1f} in memory"


@dataclass(frozen=True)
class BareRows:
    rows: int
    seconds: float


def bare_rows(place: Place, ledger: Ledger) -> BareRows:
    """How fast the same table takes rows just written, in transactions of nearly 100, without a ledger."""
    tables, partition = place.tables(), str(uuid.uuid4())
    rows = list(_rows(ledger))
    started = time.perf_counter()
    for start in range(0, len(rows), 98):
        operations = [Operation(Method.INSERT, key, properties) for key, properties in rows[start : start + 98]]
        batch = build_batch(tables.url, TABLE, partition, operations, str(uuid.uuid4()))
        tables.transact(batch, context().deadline)
    return BareRows(len(rows), time.perf_counter() - started)


def _rows(ledger: Ledger) -> Iterator[tuple[str, dict[str, object]]]:
    for number, user in enumerate(ledger.scan(User)):
        if 2 * number >= LIMIT_ROWS:
            return
        link = ObjectIdLink(object_id=str(user.object_id), user_id=user.id)
        yield user.key, encode_row(user.to_row())
        yield link.key, encode_row(link.to_row())


if __name__ == "__main__":
    main()
