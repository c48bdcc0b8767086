"""A process that revokes certificates and publishes CRLs until it kills itself (SIGKILL) between two steps."""

import itertools
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.context import system_clock
from shared.directory.blobs import BlobStore
from shared.directory.ledger import Ledger, Request
from shared.directory.records.certificate import Certificate, CertificateStatus, RevocationReason
from shared.directory.tables import TableStore
from shared.errors import AppError
from shared.pki.crl.publisher import CrlPublisher
from shared.pki.signing.loader import load_backend
from tests.support.crls import CONTAINER, TestCrls, soon
from tests.support.pki import TestCa, context

BETWEEN = {
    "begun | read": "read",
    "read | numbered": "_take_number",
    "numbered | signed": "signing_key",
    "signed | stored": "put_new",
    "stored | pointed to": "_point_to",
    "pointed to | tidied": "_prune",
}
"""The name of each gap → the method that begins after it."""
PATIENCE = 8


@dataclass(frozen=True)
class Assignment:
    """One life of the process. `specimen`: a certificate whose like it revokes."""

    connection_string: str
    tenant_id: str
    backend: str
    settings: Mapping[str, str]
    folder: Path
    gap: str
    seed: int
    specimen: int


def live_and_die(assignment: Assignment) -> None:
    """Revokes and publishes; comes to its end at the n-th arrival at the gap, or after a few CRLs without one."""
    chance = random.Random(assignment.seed)
    ledger = Ledger(TableStore.from_connection_string(assignment.connection_string, "directory"), assignment.tenant_id)
    ca = TestCa.on(ledger, load_backend(assignment.backend, assignment.settings), backend_name=assignment.backend)
    blobs = BlobStore.from_connection_string(assignment.connection_string, CONTAINER)
    crls = TestCrls.of(ca, blobs, assignment.folder / f"replica-{assignment.seed}", system_clock)
    _die_at(crls, BETWEEN[assignment.gap], chance.randrange(1, 4))
    specimen = ca.certificate(assignment.specimen)
    for _ in range(PATIENCE):
        ledger.commit(_another_revoked(specimen, chance), soon())
        try:
            crls.publish()
        except AppError:  # the others keep getting ahead: as the timer would, it tries again
            continue


def _die_at(crls: TestCrls, method: str, arrivals: int) -> None:
    owners: dict[str, Any] = {"read": crls.reader, "signing_key": crls.ca.authority, "put_new": crls.blobs}
    owner, left = owners.get(method, crls.publisher), itertools.count(1)
    assert method in owners or isinstance(owner, CrlPublisher)
    original: Callable[..., Any] = getattr(owner, method)

    def or_die(*arguments: Any) -> Any:
        if next(left) == arrivals:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(owner, method, or_die)


def _another_revoked(specimen: Certificate, chance: random.Random) -> Request[None]:
    serial_number = f"{chance.getrandbits(150) | 1 << 151:038x}"

    def decide(tx: Any) -> None:
        tx.put(
            replace(
                specimen,
                id=tx.next_id("certificate"),
                serial_number=serial_number,
                status=CertificateStatus.REVOKED,
                revoked_at=tx.time,
                revocation_reason=RevocationReason.SUPERSEDED,
            )
        )

    return Request("certificate.revoked", context(), decide)


def lives(assignments: list[Assignment], at_once: int) -> list[int]:
    """Lets the processes live and die, some at a time; their exit codes (-9: killed)."""
    mp = multiprocessing.get_context("forkserver")
    mp.set_forkserver_preload([__name__])
    codes: list[int] = []
    waiting, running = list(assignments), list[Any]()
    while waiting or running:
        while waiting and len(running) < at_once:
            process = mp.Process(target=live_and_die, args=(waiting.pop(),))
            process.start()
            running.append(process)
        running[0].join()
        codes.append(running.pop(0).exitcode)
    return codes
