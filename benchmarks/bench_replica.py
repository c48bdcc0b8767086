"""Lists, search and statistics of large directories: the replica against PostgreSQL with the same people.

python -m benchmarks.bench_replica [--users 10000 100000 1000000] [--azurite 10000] [--no-postgres]

Every figure of a query is taken at the handler: an HTTP request in, the JSON reply out; only the check of the token is
left out. PostgreSQL answers through the same handlers, asked the way the Laravel original would ask it. p99 and worst
include each query's first time, before anything is remembered. Times in ms; "busy" is the processor time of the request
that took most of it, which says more on a machine that does other things besides.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import azure.functions as func

from benchmarks.generated_source import GeneratedSource
from benchmarks.population import NOW, certificates, users
from benchmarks.postgres_peer import Postgres, PostgresMissing
from functions.list_users import list_users
from functions.statistics import statistics as show_statistics
from local.azurite.azurite import Azurite
from local.functions_host.invocation import InvocationContext
from shared import services as composition
from shared.api.authentication import Identity
from shared.api.permissions import Permission
from shared.context import REQUEST_BUDGET, Actor, ActorKind, Context, Deadline
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.reader import DirectoryReader
from shared.directory.records.user import User
from shared.directory.replica.replica import Replica
from shared.directory.tables import TableStore
from shared.entra.tenant_sync.report import SyncStatus
from shared.settings import Settings

TENANT_ID = str(uuid.UUID(int=8))
PER_PAGE = 15
CERTIFICATES_A_USER = 0.2
SECONDS_A_QUERY = 2.0
MOST_RUNS, FEWEST_RUNS = 200, 10
CHANGES = (1, 1_000, 100_000)
SETTINGS = {
    "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "ENTRA_TENANT_ID": TENANT_ID,
    "ENTRA_CLIENT_ID": str(uuid.UUID(int=9)),
    "ENTRA_CLIENT_SECRET": "none",
}

Handler = Callable[..., func.HttpResponse]


@dataclass(frozen=True)
class Query:
    """Requests of a kind; they take turns."""

    name: str
    parameters: Sequence[dict[str, Any]]
    handler: Handler = list_users


@dataclass(frozen=True)
class Timing:
    """Milliseconds, and how many users the queries found.

    `busy`: the processor time of the request that took most of it; what others do on the machine hardly changes it.
    """

    p50: float
    p99: float
    worst: float
    busy: float
    found: int


class OpenDoor:
    """Lets everybody in: the check of tokens has a benchmark of its own."""

    def authenticate(self, authorization: Sequence[str]) -> Identity:  # noqa: ARG002
        return Identity(Actor(ActorKind.OPERATOR, "benchmark"), frozenset(Permission))


class NoSync:
    def status(self) -> SyncStatus:
        return SyncStatus(False, None, None, None, None, None, None, (), {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--azurite", type=int, default=5_000, help="users to read back from Azurite; 0: none")
    parser.add_argument("--no-postgres", action="store_true", help="leave the peer out")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)  # how it calls itself
    arguments = parser.parse_args()
    if arguments.memory_of:
        show_memory(arguments.memory_of, arguments.users[0])
        return
    for count in arguments.users:
        with tempfile.TemporaryDirectory() as folder:
            compare(count, Path(folder), with_postgres=not arguments.no_postgres)
    if arguments.azurite:
        show_azurite(arguments.azurite)


def compare(count: int, folder: Path, *, with_postgres: bool) -> None:
    """Prints everything about a directory of `count` users."""
    certificate_count = int(count * CERTIFICATES_A_USER)
    load = os.getloadavg()[0]
    print(f"\n{count:,} users, {certificate_count:,} certificates, load average {load:.1f} of {os.cpu_count()} cores")
    source = GeneratedSource(TENANT_ID, count, certificate_count)
    replica = Replica(source, folder / "replica", TENANT_ID, clock=lambda: NOW)
    show_build(replica, source, count + certificate_count)
    reader = DirectoryReader(source, replica, lambda: None, clock=lambda: NOW)  # type: ignore[arg-type]
    with ExitStack() as stack:
        postgres: Postgres | None = None
        try:
            if with_postgres:
                postgres = stack.enter_context(Postgres.start(folder_for_server(stack)))
                started = time.perf_counter()
                postgres.load(users(count), certificates(certificate_count, count))
                postgres.index()
                print(f"  PostgreSQL: loaded in {time.perf_counter() - started:.0f} s, {postgres.size() / 1e6:.0f} MB")
        except PostgresMissing as missing:
            print(f"  PostgreSQL is left out: {missing}")
        show_queries(count, reader, postgres)
    command = [sys.executable, "-m", "benchmarks.bench_replica", "--memory-of", str(folder), "--users", str(count)]
    subprocess.run(command, check=True)
    show_changes(replica, source)
    replica.close()
    (path,) = (folder / "replica").glob("*.sqlite3")
    print(f"  file after that                     {path.stat().st_size / 1e6:8.0f} MB")


def show_azurite(count: int) -> None:
    """A replica built from the tables, and one that follows the log, on a real table service.

    Each query reads the head first, as in Azure.
    """
    with Azurite.start() as azurite, tempfile.TemporaryDirectory() as folder:
        tables = TableStore.from_connection_string(azurite.connection_string, "directory")
        tables.create_if_missing()
        ledger = Ledger(tables, TENANT_ID)
        follower = Replica(ledger, Path(folder) / "follower", TENANT_ID)
        follower.prepare(Deadline.after(REQUEST_BUDGET))
        seconds = timed(lambda: write(ledger, count))
        print(f"\n{count:,} users in Azurite, written at {count / seconds:,.0f} a second")
        seconds = timed(lambda: follower.catch_up(Deadline.after(100 * REQUEST_BUDGET)))
        print(f"  catching up with {ledger.head().seq:,} log rows {1000 * seconds:.0f} ms")
        seconds = timed(lambda: follower.catch_up(Deadline.after(REQUEST_BUDGET)))
        print(f"  catching up with none {1000 * seconds:.1f} ms")
        young = Replica(ledger, Path(folder) / "young", TENANT_ID)
        seconds = timed(lambda: young.prepare(Deadline.after(100 * REQUEST_BUDGET)))
        print(f"  built from the tables in {seconds:.1f} s ({count / seconds:,.0f} rows a second)")
        show_queries(count, DirectoryReader(ledger, young, lambda: None), None)
        follower.close()
        young.close()


def write(ledger: Ledger, count: int) -> None:
    """New users, as many in a transaction as fit."""

    def request(user: User) -> Request[None]:
        def decide(tx: Transaction) -> None:
            assert tx.next_id("user") == user.id
            tx.put(user)

        return Request("user.created", Context(Actor(ActorKind.OPERATOR, "benchmark"), "request"), decide)

    for first in range(1, count + 1, 1000):
        some = users(min(1000, count + 1 - first), first_id=first)
        for result in ledger.commit_all([request(user) for user in some], Deadline.after(10 * REQUEST_BUDGET)):
            assert not isinstance(result, Exception), result


def timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def folder_for_server(stack: ExitStack) -> Path:
    """A folder that another user may enter."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pg")))
    folder.chmod(0o755)
    return folder


def show_build(replica: Replica, source: GeneratedSource, rows: int) -> None:
    seconds = timed(lambda: replica.prepare(Deadline.after(120 * REQUEST_BUDGET))) - source.seconds
    file = replica._file
    assert file is not None
    size = file.path.stat().st_size
    print(f"  built in {seconds:.1f} s ({rows / seconds:,.0f} rows a second), file {size / 1e6:.0f} MB")


def show_queries(count: int, reader: DirectoryReader, postgres: Postgres | None) -> None:
    print(f"  {'':34}{'replica':>10}{'':>28}{'PostgreSQL':>14}{'':>8}{'ratio':>10}{'users found':>22}")
    print(f"  {'':34}{'p50':>8}{'p99':>10}{'worst':>10}{'busy':>10}{'p50':>12}{'p99':>10}{'of p50':>10}{'':>12}")
    for query in queries(count):
        ours = measured(query, reader)
        line = f"  {query.name:34}{ours.p50:8.2f}{ours.p99:10.2f}{ours.worst:10.2f}{ours.busy:10.2f}"
        if postgres is None:
            print(f"{line}{ours.found:>44,}")
            continue
        theirs = measured(query, postgres)
        same = f"{ours.found:,}" if ours.found == theirs.found else f"{ours.found:,} / {theirs.found:,}"
        print(f"{line}{theirs.p50:12.2f}{theirs.p99:10.2f}{ours.p50 / theirs.p50:10.2f}{same:>22}", flush=True)


def queries(count: int) -> list[Query]:
    last = -(-count // PER_PAGE)
    hours = {"recently_synced": 30 * 24}

    def search(*terms: str, **more: Any) -> list[dict[str, Any]]:
        return [{"search": term, **more} for term in terms]

    return [
        Query("page 1", [{}]),
        Query("page 1,000", [{"page": min(1000, last)}]),
        Query("the page in the middle", [{"page": last // 2}]),
        Query("the last page", [{"page": last}]),
        Query("active, page 1", [{"active": "true"}]),
        Query("inactive, page 1,000", [{"active": "false", "page": min(1000, last // 20)}]),
        Query("synced in 24 h", [{"recently_synced": ""}]),
        Query("synced in 30 d, active, page 1,000", [{**hours, "active": "true", "page": min(1000, last // 3)}]),
        Query("search, 1 character, many", search("a", "e", "o", "1")),
        Query("search, 1 character, few", search("王", "π", "ш", "ق")),
        Query("search, 1 character, none", search("☃", "ӝ", "|")),
        Query("search, 2 characters, many", search("an", "er", "co", "li")),
        Query("search, 2 characters, few", search("zq", "花子", "ηλ", "xw")),
        Query("search, 2 characters, none", search("qq", "☃☃", "||")),
        Query("search, 3 characters, many", search("con", "exa", "com", "ber")),
        Query("search, 3 characters, few", search("ödeg", "xiuying w", "wój", "pad")),
        Query("search, 3 characters, none", search("qqq", "zzz", "x|y")),
        Query("search, 10 characters, many", search("contoso.ex", "example", "@fabrikam.")),
        Query("search, 10 characters, few", search("ferrari123", "kowalski77", "hanako.sat", "zimmermann")),
        Query("search, 10 characters, none", search("absent-one", "nobody@con", "qqqqqqqqqq")),
        Query("search, selective, inactive", search("garcia", "kowalski7", "lindstr", active="false")),
        Query("search, many, page 1,000", search("contoso", "an", page=min(1000, last // 10))),
        Query("search, many, active", search("contoso", "ann", active="true")),
        Query("statistics", [{}], show_statistics),
    ]


def measured(query: Query, reader: DirectoryReader | Postgres) -> Timing:
    """Each of the query's requests in turn, until there are enough of them or the time is up."""
    install(reader)
    if isinstance(reader, DirectoryReader):
        reader._replica._users._totals.clear()
    seconds, busy = list[float](), 0.0
    found: dict[str, int] = {}
    ends = time.perf_counter() + SECONDS_A_QUERY
    while len(seconds) < MOST_RUNS and (len(seconds) < FEWEST_RUNS or time.perf_counter() < ends):
        url, request = asked(query.parameters[len(seconds) % len(query.parameters)])
        started, used = time.perf_counter(), time.thread_time()
        reply = query.handler(request, InvocationContext("", "benchmark", ""))
        busy = max(busy, time.thread_time() - used)
        seconds.append(time.perf_counter() - started)
        body = reply.get_body()
        assert reply.status_code == 200, body
        total = re.search(rb'"total": ?(\d+)', body)
        assert total
        found[url] = int(total[1])
    milliseconds = sorted(1000 * second for second in seconds)
    rank = min(len(milliseconds) - 1, int(0.99 * len(milliseconds)))
    p50, p99 = statistics.median(milliseconds), milliseconds[rank]
    return Timing(p50, p99, milliseconds[-1], 1000 * busy, sum(found.values()))


def asked(parameters: dict[str, Any]) -> tuple[str, func.HttpRequest]:
    url = f"https://localhost/api/v1/entra-id/users?{urlencode(parameters)}"
    return url, func.HttpRequest("GET", url, headers={"authorization": "Bearer x"}, body=b"")


def install(reader: DirectoryReader | Postgres) -> None:
    """Puts the reader where the handlers look for it."""
    built = composition.Services(Settings.read(SETTINGS))
    vars(built).update(reader=reader, authenticator=OpenDoor(), tenant_sync=NoSync())
    composition._services = built


def show_changes(replica: Replica, source: GeneratedSource) -> None:
    for changes in CHANGES:
        source.change(changes)
        seconds = timed(lambda: replica.catch_up(Deadline.after(60 * REQUEST_BUDGET)))
        print(f"  catching up with {changes:>7,} log rows  {1000 * seconds:8.0f} ms", flush=True)


def show_memory(folder: Path, count: int) -> None:
    """In a process of its own: what opening the file and asking everything costs."""
    source = GeneratedSource(TENANT_ID, count, int(count * CERTIFICATES_A_USER))
    reader = DirectoryReader(
        source,  # type: ignore[arg-type]
        Replica(source, folder / "replica", TENANT_ID, clock=lambda: NOW),
        lambda: None,
        clock=lambda: NOW,
    )
    before = resident_megabytes()
    for query in queries(count):
        install(reader)
        for parameters in query.parameters:
            _, request = asked(parameters)
            assert query.handler(request, InvocationContext("", "benchmark", "")).status_code == 200
    print(f"  memory for all of the above         {resident_megabytes() - before:8.0f} MB (resident set)")


def resident_megabytes() -> float:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


if __name__ == "__main__":
    main()
