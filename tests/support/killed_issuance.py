"""A process that issues certificates until it kills itself (SIGKILL) between two steps of the cycle.

Works with any signing backend: the child builds it by name from settings, as the app does.
"""

import itertools
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.directory.ledger import Ledger
from shared.directory.records.certificate import CertificateType
from shared.directory.tables import TableStore
from shared.pki.issuance import Issuance
from shared.pki.order import Order
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
THREADS = 3


@dataclass(frozen=True)
class Assignment:
    """One life of the process. `delivered`: a file to which it writes the id of each certificate that it handed out."""

    connection_string: str
    tenant_id: str
    backend: str
    settings: Mapping[str, str]
    gap: str
    seed: int
    users: tuple[int, ...]
    delivered: Path


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
    """Three threads issue what the seed says until one of them reaches the gap for the n-th time."""
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
        issued = issuance.issue(_some_order(chance, assignment.users), context(), idempotency_key=key)
        if assignment.gap == "committed | replied":
            issuance.arrive()
        with assignment.delivered.open("a") as file:
            file.write(f"{issued.certificate.id}\n")


def _some_order(chance: random.Random, users: tuple[int, ...]) -> Order:
    wanted: dict[str, Any] = {"certificate_type": chance.choice(list(CertificateType))}
    if chance.random() < 0.15:
        wanted["key_size"] = 2048
    return order(a_user(chance.choice(users)), **wanted)


def lives(assignments: list[Assignment], at_once: int) -> list[int]:
    """Lets the processes live and die, some at a time; their exit codes (-9: killed)."""
    mp = multiprocessing.get_context("forkserver")
    mp.set_forkserver_preload([__name__])
    codes: list[int] = []
    waiting = list(assignments)
    running: list[Any] = []
    while waiting or running:
        while waiting and len(running) < at_once:
            process = mp.Process(target=live_and_die, args=(waiting.pop(),))
            process.start()
            running.append(process)
        running[0].join()
        codes.append(running.pop(0).exitcode)
    return codes
