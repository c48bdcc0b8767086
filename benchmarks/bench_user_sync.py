"""Fifty users on request: in batches, against one after another, with Graph answering after 0 and 100 ms.

python -m benchmarks.bench_user_sync [--users 50] [--latency 0 100]
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.sync_stage import Place, context, stage
from local.entra import faults
from local.entra.bulk import BulkLoad
from local.entra.control import Tenant
from shared.directory.ledger import Ledger
from shared.entra.user_sync import UserSync

GROUPS = 40


@dataclass(frozen=True)
class Line:
    name: str
    seconds: float
    requests: int
    units: int
    transactions: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--latency", type=int, nargs="+", default=[0, 100], help="of each Graph reply, ms")
    options = parser.parse_args()
    with stage() as (azurite, entra):
        for latency in options.latency:
            tenant = entra.new_tenant()
            tenant.load(BulkLoad(users=options.users, groups=GROUPS, groups_per_user=5))
            report(measure(tenant, Place.of(azurite, entra, tenant), latency), options.users, latency)


def measure(tenant: Tenant, place: Place, latency: int) -> list[Line]:
    users = list(tenant.snapshot().users.values())
    names = [user.user_principal_name for user in users]
    ledger = Ledger(place.tables(), place.tenant_id)
    sync = UserSync(ledger, place.graph())
    other = UserSync(Ledger(place.tables(), place.tenant_id), place.graph())
    sync.sync(names[0], context())  # token and connections are there
    other.sync(names[0], context())
    if latency:
        tenant.arm(faults.slow(latency / 1000))

    def one_by_one() -> None:
        for name in names:
            other.sync(name, context())

    def in_batches() -> None:
        sync.sync_many(names, context())

    lines = [run("all new, and their groups' names", in_batches, tenant, ledger)]
    tenant.update_many([(user.id, {"jobTitle": "changed"}) for user in users])
    lines.append(run("all changed", in_batches, tenant, ledger))
    lines.append(run("unchanged", in_batches, tenant, ledger))
    lines.append(run("unchanged, one after another", one_by_one, tenant, ledger))
    return lines


def run(name: str, work: Callable[[], None], tenant: Tenant, ledger: Ledger) -> Line:
    tenant.reset_traffic()
    before, started = ledger.head().seq, time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    traffic = tenant.traffic()
    return Line(name, seconds, traffic.graph_requests, traffic.resource_units, ledger.head().seq - before)


def report(lines: list[Line], users: int, latency: int) -> None:
    """Against one after another, which is the last line."""
    peer = lines[-1]
    heads = f"{'s':>8}{'ratio':>8}{'Graph requests':>16}{'ratio':>8}{'units':>8}{'transactions':>14}"
    print(f"\n{f'{users} users, Graph answers after {latency} ms':<44}{heads}")
    for line in lines:
        figures = f"{line.seconds:>8.2f}{line.seconds / peer.seconds:>8.3f}{line.requests:>16}"
        print(f"  {line.name:<42}{figures}{line.requests / peer.requests:>8.3f}{line.units:>8}{line.transactions:>14}")


if __name__ == "__main__":
    main()
