"""What the ledger's promises cost: against bare transactions, against the SDK, and among competing processes.

python -m benchmarks.bench_ledger [--seconds 3] [--users 5000]
All on one Azurite, whose single thread is the limit of most figures; so the ratios count, not the absolute numbers.
"""

import argparse
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from azure.data.tables import TableClient

from local.azurite.azurite import Azurite
from shared.directory.audit import verify
from shared.directory.batch import Method, Operation, build_batch
from shared.directory.ledger import Ledger
from shared.directory.partition import prefix_end
from shared.directory.records.user import User
from shared.directory.rows import encode_row
from shared.directory.tables import TableStore
from tests.support.ledger_story import count_up, meet_user, soon
from tests.support.ledger_writers import BULK_ROWS, WriterProcesses

TABLE = "directory"
THREADS = 8
SMALL_WRITERS = 8


@dataclass(frozen=True)
class Line:
    name: str
    rate: float
    note: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--users", type=int, default=5000, help="to scan")
    options = parser.parse_args()
    with Azurite.start() as azurite:
        tables = TableStore.from_connection_string(azurite.connection_string, TABLE)
        tables.create_if_missing()
        compare("commits of one row, one process", "requests/s", commits(tables, options.seconds))
        ledger = Ledger(tables, str(uuid.uuid4()))
        compare("bulk writing", "rows/s", bulk(tables, ledger, options.users))
        scans = scanning(azurite.connection_string, tables, ledger)
        compare(f"reading {options.users} users", "rows/s of CPU time", scans)
        compare("checking", "rows/s", audit(ledger))
        for turns in (True, False):
            title = f"a {BULK_ROWS}-row writer and {SMALL_WRITERS} small ones, {'with' if turns else 'without'} turns"
            compare(title, "commits/s", competition(azurite.connection_string, 2 * options.seconds, turns))


def compare(title: str, unit: str, lines: Sequence[Line]) -> None:
    """The first line is what the others are measured against."""
    print(f"\n{title:<58}{unit:>20}{'ratio':>8}")
    for line in lines:
        print(f"  {line.name:<56}{line.rate:>20,.1f}{line.rate / max(lines[0].rate, 1e-9):>8.2f}  {line.note}")


def commits(tables: TableStore, seconds: float) -> list[Line]:
    """The limit: the same three operations in a transaction that promises nothing."""
    partition = str(uuid.uuid4())

    def bare() -> None:
        operations = [Operation(Method.INSERT, uuid.uuid4().hex, encode_row({"value": 1, "text": "x" * 400}))]
        operations += [Operation(Method.INSERT, uuid.uuid4().hex, encode_row({"text": "x" * 400})) for _ in range(2)]
        tables.transact(build_batch(tables.url, TABLE, partition, operations, str(uuid.uuid4())), soon())

    ledger = Ledger(tables, str(uuid.uuid4()))
    alone = rate(lambda: ledger.commit(count_up("one"), soon()), seconds)
    before = ledger.head().seq
    together = rate(lambda: ledger.commit(count_up(threading.current_thread().name), soon()), seconds, THREADS)
    each = together * seconds / (ledger.head().seq - before)
    return [
        Line("bare transactions of three rows", rate(bare, seconds)),
        Line("ledger, one thread", alone, "always the same row"),
        Line(f"ledger, {THREADS} threads", together, f"{each:.1f} requests share a transaction"),
    ]


def rate(work: Callable[[], object], seconds: float, threads: int = 1) -> float:
    """How often a second the work gets done."""
    done = [0] * threads
    work()
    end = time.perf_counter() + seconds

    def run(number: int) -> None:
        while time.perf_counter() < end:
            work()
            done[number] += 1

    runners = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    return sum(done) / seconds


def bulk(tables: TableStore, ledger: Ledger, users: int) -> list[Line]:
    """The limit: full transactions of rows as large, through the SDK's own client."""
    rows = min(users, 2000)
    partition, text = str(uuid.uuid4()), "x" * 400
    started = time.perf_counter()
    for start in range(0, rows, 100):
        entities = [
            {"PartitionKey": partition, "RowKey": f"{number:010d}", "text": text}
            for number in range(start, start + 100)
        ]
        tables._client.submit_transaction([("create", entity) for entity in entities])
    limit = rows / (time.perf_counter() - started)

    started = time.perf_counter()
    ledger.commit_all([meet_user(str(uuid.uuid4())) for _ in range(users)], soon(600))
    ours = 2 * users / (time.perf_counter() - started)
    return [Line("SDK, full transactions, no reads", limit), Line("ledger, new users: row, object id, log, ids", ours)]


def scanning(connection_string: str, tables: TableStore, ledger: Ledger) -> list[Line]:
    client = TableClient.from_connection_string(connection_string, TABLE)
    condition = f"PartitionKey eq '{ledger.tenant_id}' and RowKey ge 'user|' and RowKey lt 'user~'"
    names = ("SDK: query_entities", "ours: raw entities", "ours: rows", "ours: records (Ledger.scan)")
    reads: tuple[Callable[[], int], ...] = (
        lambda: sum(1 for _ in client.query_entities(condition)),
        lambda: sum(1 for _ in tables.query(ledger.tenant_id, "user|", prefix_end("user|"))),
        lambda: sum(1 for _ in ledger.partition.scan("user|", prefix_end("user|"))),
        lambda: sum(1 for _ in ledger.scan(User)),
    )
    return [cpu_line(name, read) for name, read in zip(names, reads, strict=True)]


def cpu_line(name: str, read: Callable[[], int]) -> Line:
    cpu, wall = time.process_time(), time.perf_counter()
    rows = read()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Line(name, rows / cpu, f"{cpu / rows * 1e6:.1f} ms CPU for 1,000; {rows / wall:,.0f}/s on the clock")


def audit(ledger: Ledger) -> list[Line]:
    started = time.perf_counter()
    report = verify(ledger.partition)
    assert report.is_clean
    return [Line("audit verify", (report.records + report.log_rows) / (time.perf_counter() - started))]


def competition(connection_string: str, seconds: float, turns: bool) -> list[Line]:
    """The measure: an equal share of all commits for each writer."""
    tenant_id = str(uuid.uuid4())
    with WriterProcesses(connection_string) as writers:
        kinds = ["bulk", *["single"] * SMALL_WRITERS]
        done = writers.race(kinds, tenant_id, seconds, turns=turns)
    rates = sorted((writer, commits / seconds) for writer, commits in done)
    fair = sum(rate for _, rate in rates) / len(rates)
    lines = [Line(f"{BULK_ROWS} rows" if kind == "bulk" else "1 row", rate) for kind, rate in rates]
    return [Line("an equal share", fair), *lines]


if __name__ == "__main__":
    main()
