"""Processes that issue or renew certificates until they kill themselves (SIGKILL) between two steps of the cycle.

Works with any signing backend: each process builds it by name from settings, as the app does.
"""

import importlib
import itertools
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.directory.ledger import Ledger
from shared.directory.records.certificate import CertificateType
from shared.directory.tables import TableStore
from shared.pki.errors import AlreadyRenewed, RenewalInFlight
from shared.pki.issuance.cycle import Issuance
from shared.pki.issuance.order import Order
from shared.pki.signing.loader import load_backend
from tests.support.pki import TestCa, a_user, context, order

BETWEEN = {
    "validated | built": "_intend",
    "built and linted | reserved": "_reserve",
    "reserved | signed": "_sign",
    "signed | verified": "_verify",
    "verified | committed": "_commit",
    "committed | replied": "after",
}
"""The name of each gap → the method of `Issuance` that begins after it."""
THREADS = 2
WARM = ("azure.data.tables", "azure.identity", "msal", "shared.pki.signing.key_vault")
"""What a life would import by and by."""


@dataclass(frozen=True)
class Assignment:
    """One life. `delivered`: a file to which it writes the id of each certificate that it handed out.

    `renews`: the certificates that it renews, in any order; none: it issues new ones.
    """

    connection_string: str
    tenant_id: str
    backend: str
    settings: Mapping[str, str]
    environment: Mapping[str, str]
    gap: str
    seed: int
    users: tuple[int, ...]
    delivered: Path
    renews: tuple[int, ...] = ()


class Suicidal(Issuance):
    """Kills its whole process, other threads and all, at the n-th arrival at the gap."""

    arrivals: "itertools.count[int]"
    gap: str
    last: int

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") and name == BETWEEN.get(super().__getattribute__("gap")):
            self.arrive()
        return found

    def arrive(self) -> None:
        if next(self.arrivals) == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def live_and_die(assignment: Assignment) -> None:
    """Two threads issue what the seed says until one of them reaches the gap for the n-th time."""
    os.environ.update(assignment.environment)
    chance = random.Random(assignment.seed)
    tables = TableStore.from_connection_string(assignment.connection_string, "directory")
    ledger = Ledger(tables, assignment.tenant_id)
    backend = load_backend(assignment.backend, assignment.settings)
    ca = TestCa.on(ledger, backend, backend_name=assignment.backend, issuance=Suicidal)
    assert isinstance(ca.issuance, Suicidal)
    ca.issuance.arrivals, ca.issuance.gap = itertools.count(), assignment.gap
    ca.issuance.last = chance.randrange(2 * THREADS)
    threads = [
        threading.Thread(target=_issue_forever, args=(ca.issuance, assignment, chance.randrange(1 << 30)))
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _issue_forever(issuance: Suicidal, assignment: Assignment, seed: int) -> None:
    chance = random.Random(seed)
    for number in itertools.count():
        key = f"{seed}-{number}" if chance.random() < 0.5 else None
        try:
            issued = issuance.issue(_some_order(chance, assignment), context(), idempotency_key=key)
        except (AlreadyRenewed, RenewalInFlight):
            continue
        if assignment.gap == "committed | replied":
            issuance.arrive()
        with assignment.delivered.open("a") as file:
            file.write(f"{issued.certificate.id}\n")


def _some_order(chance: random.Random, assignment: Assignment) -> Order:
    wanted: dict[str, Any] = {"certificate_type": chance.choice(list(CertificateType))}
    if assignment.renews:
        wanted["renews"] = chance.choice(assignment.renews)
    if chance.random() < 0.05:
        wanted["key_size"] = 2048
    return order(a_user(chance.choice(assignment.users)), **wanted)


class Nursery:
    """A process without threads that has everything imported and forks each life off: the life is shorter than that."""

    def __init__(self) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._line, theirs = spawning.Pipe()
        self._process = spawning.Process(target=_nurse, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def lives(self, assignments: list[Assignment], at_once: int) -> list[int]:
        """Lets the processes live and die, some at a time; their exit codes (-9: killed), sorted."""
        self._line.send((assignments, at_once))
        codes: list[int] = self._line.recv()
        return codes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._line.close()
        self._process.join()


def _nurse(line: Connection) -> None:
    for module in WARM:
        importlib.import_module(module)
    while True:
        try:
            assignments, at_once = line.recv()
        except EOFError:
            return
        codes: list[int] = []
        for number, assignment in enumerate(assignments):
            if number >= at_once:
                codes.append(_one_death())
            _fork(assignment)
        codes += [_one_death() for _ in range(len(assignments) - len(codes))]
        line.send(sorted(codes))


def _fork(assignment: Assignment) -> None:
    if os.fork() == 0:
        try:
            live_and_die(assignment)
        finally:
            os._exit(1)  # nobody should live that long


def _one_death() -> int:
    return os.waitstatus_to_exitcode(os.wait()[1])
