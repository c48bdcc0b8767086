"""CRLs of up to what Entra takes: time, memory and bytes, against cryptography's builder; and from a user to the CRL.

python -m benchmarks.bench_crl [--part writing|rebuilding|disabling] [--quick]

Each size is measured in a process of its own, so that its peak of memory is its own.
"""

import argparse
import multiprocessing
import random
import resource
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from benchmarks.population import certificates
from local.azurite.azurite import Azurite
from local.stack import Stack, running_cloud, running_stack
from shared.context import Deadline
from shared.directory.head import Head, empty_head
from shared.directory.ledger import Ledger, LogRow
from shared.directory.records.base import Record, Row
from shared.directory.records.certificate import Certificate, CertificateStatus, RevocationReason
from shared.directory.replica.replica import Replica
from shared.directory.tables import TableStore
from shared.pki.crl.contents import CrlReader
from shared.pki.crl.entries import EntryWriter
from shared.pki.crl.publisher import CrlPublisher
from shared.pki.crl.revocation_list import LIFE, PUBLISHED_EVERY, CrlDraft
from shared.pki.keys import KeyType, signature_hash
from shared.pki.revocation.departures import DeparturePolicy, Departures
from shared.services import timer_context
from tests.support.crls import blob_store
from tests.support.issuers import LooseIssuer
from tests.support.pki import TestCa, software_backend

ENTRA_BYTES = 20_000_000
"""What Entra's certificate-based authentication takes (decimal: the stricter reading)."""
SIZES = (1_000, 10_000, 100_000, 377_000)
PEER_SIZES = (1_000, 10_000, 20_000)
NOW = datetime.now(UTC).replace(microsecond=0)
REASONS = [reason for reason in RevocationReason if reason is not RevocationReason.UNSPECIFIED]

R = TypeVar("R", bound=Record)
Entry = tuple[bytes, datetime, RevocationReason]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=list(PARTS), action="append", help="only this part; may be repeated")
    parser.add_argument("--quick", action="store_true", help="leave the largest sizes out")
    options = parser.parse_args()
    for part in options.part or PARTS:
        PARTS[part](options.quick)
        print()


def row(name: str, *cells: str) -> None:
    print(f"  {name:<46}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def in_a_process(measure: Callable[[int], tuple[float, int]], count: int) -> tuple[float, int, float]:
    """Seconds, bytes, and MiB by which the process grew meanwhile."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_with_memory, (measure, count))


def _with_memory(measure: Callable[[int], tuple[float, int]], count: int) -> tuple[float, int, float]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, size = measure(count)
    return seconds, size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


# --- Writing: entries in memory → a signed CRL ---


def entries(count: int) -> Iterator[Entry]:
    """Revoked over the last year; every entry has a reason, which is the longest they get."""
    chance = random.Random(count)
    for _ in range(count):
        revoked_at = NOW - timedelta(seconds=chance.randrange(365 * 86400))
        yield chance.getrandbits(159).to_bytes(20, "big"), revoked_at, chance.choice(REASONS)


def ours(count: int) -> tuple[float, int]:
    issuer, seconds, writer = LooseIssuer.make(KeyType.RSA_3072, now=NOW), 0.0, EntryWriter()
    for entry in entries(count):
        started = time.process_time()
        writer.add(*entry)
        seconds += time.process_time() - started
    started = time.process_time()
    listed = writer.revoked_certificates()
    draft = CrlDraft(issuer.material, 1, NOW, NOW + LIFE, NOW + PUBLISHED_EVERY, listed)
    size = len(draft.sign(issuer.key))
    return seconds + time.process_time() - started, size


def one_by_one(count: int) -> tuple[float, int]:
    """As cryptography's documentation has it."""
    issuer, builder, seconds = LooseIssuer.make(KeyType.RSA_3072, now=NOW), _peer_builder(), 0.0
    for entry in entries(count):
        started = time.process_time()
        builder = builder.add_revoked_certificate(_peer_entry(entry))
        seconds += time.process_time() - started
    return _peer_signed(builder, issuer, seconds)


def all_at_once(count: int) -> tuple[float, int]:
    """With the list handed to its constructor, which is not documented."""
    issuer = LooseIssuer.make(KeyType.RSA_3072, now=NOW)
    started = time.process_time()
    listed = [_peer_entry(entry) for entry in entries(count)]
    builder = _peer_builder()
    builder._revoked_certificates = listed
    return _peer_signed(builder, issuer, time.process_time() - started)


def _peer_builder() -> x509.CertificateRevocationListBuilder:
    issuer = LooseIssuer.make(KeyType.RSA_3072, now=NOW)
    key_identifier = x509.AuthorityKeyIdentifier(issuer.material.key_identifier.digest, None, None)
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.material.name)
        .last_update(NOW)
        .next_update(NOW + LIFE)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(key_identifier, critical=False)
    )


def _peer_entry(entry: Entry) -> x509.RevokedCertificate:
    serial_number, revoked_at, reason = entry
    builder = x509.RevokedCertificateBuilder().serial_number(int.from_bytes(serial_number, "big"))
    reason_code = x509.CRLReason(x509.ReasonFlags(reason.value))
    return builder.revocation_date(revoked_at).add_extension(reason_code, critical=False).build()


def _peer_signed(
    builder: x509.CertificateRevocationListBuilder, issuer: LooseIssuer, seconds: float
) -> tuple[float, int]:
    started = time.process_time()
    size = len(builder.sign(issuer.key, signature_hash(issuer.key)).public_bytes(Encoding.DER))
    return seconds + time.process_time() - started, size


def writing(quick: bool) -> None:
    """Against cryptography's builder. All entries have a reason and a 20-octet serial number; RSA-3072."""
    print("writing and signing a CRL, entries in memory")
    row("", "entries", "CPU s", "peak MiB", "bytes", "per entry", "of 20 MB")
    contestants: Sequence[tuple[str, Callable[[int], tuple[float, int]], Sequence[int]]] = (
        ("ours", ours, SIZES[:3] if quick else SIZES),
        ("cryptography, add_revoked_certificate", one_by_one, PEER_SIZES[:2] if quick else PEER_SIZES),
        ("cryptography, all entries at once", all_at_once, PEER_SIZES),
    )
    for name, contestant, sizes in contestants:
        for count in sizes:
            seconds, size, memory = in_a_process(contestant, count)
            share = f"{size / ENTRA_BYTES:.0%}"
            row(name, f"{count:,}", f"{seconds:.3f}", f"{memory:.0f}", f"{size:,}", f"{size / count:.1f}", share)


# --- Rebuilding: replica → number → signature → blob → pointer, on Azurite ---


class RevokedSource:
    """A directory of nothing but revoked certificates of one issuer, for a replica; made up as they are read."""

    def __init__(self, tenant_id: str, issuer_id: str, count: int) -> None:
        self._issuer_id, self._count = issuer_id, count
        self._head = replace(empty_head(tenant_id).head, next_ids={"certificate": count + 1})

    def head(self) -> Head:
        return self._head

    def get(self, kind: type[R], key: str) -> R | None:  # noqa: ARG002
        return None

    def get_many(self, kind: type[R], keys: Sequence[str]) -> dict[str, R]:  # noqa: ARG002
        return {}

    def scan(self, kind: type[R], *, start: str | None = None, end: str | None = None) -> Iterator[R]:  # noqa: ARG002
        return iter(())

    def replicated_rows(self, kind: type[Record]) -> Iterator[Row]:
        if kind is not Certificate:
            return
        chance = random.Random(self._count)
        status = CertificateStatus.REVOKED
        for each in certificates(self._count, 1000):
            yield replace(
                each,
                issuer_id=self._issuer_id,
                status=status,
                revoked_at=NOW - timedelta(seconds=chance.randrange(10**7)),
                revocation_reason=chance.choice(REASONS),
                not_after=NOW + timedelta(days=30),
            ).replicated_row()

    def log(self, after: int, until: int | None = None) -> Iterator[LogRow]:  # noqa: ARG002
        return iter(())


def rebuilding(quick: bool) -> None:
    """All of it, with a replica that is up to date, as the timer finds it.

    `unchanged`: CPU seconds of a look that finds nothing new. `MiB more`: than the peak of making the replica before.
    """
    print("rebuilding: from the replica to the pointer, Azurite on this machine")
    row("", "entries", "seconds", "own CPU s", "unchanged", "MiB more", "bytes")
    with Azurite.start() as azurite:
        for count in SIZES[:3] if quick else SIZES:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, cpu, look, memory, size = pool.apply(_rebuild, (azurite.connection_string, count))
            times = (f"{each:.2f}" for each in (seconds, cpu, look))
            row("ours", f"{count:,}", *times, f"{memory:.0f}", f"{size:,}")


def _rebuild(connection_string: str, count: int) -> tuple[float, float, float, float, int]:
    """Seconds of a rebuild, its CPU time, that of a look that finds nothing new to say, MiB of growth, bytes."""
    with tempfile.TemporaryDirectory() as folder:
        tables = TableStore.from_connection_string(connection_string, "directory")
        tables.create_if_missing()
        ledger = Ledger(tables, str(uuid.uuid4()))
        ca = TestCa.on(ledger, software_backend(Path(folder))).initialize(KeyType.RSA_3072)
        source: Any = RevokedSource(ledger.tenant_id, ca.authority.active().id, count)
        replica = Replica(source, Path(folder), ledger.tenant_id)
        replica.prepare(Deadline.after(timedelta(minutes=10)))
        reader = CrlReader(source, replica, Departures(DeparturePolicy()))
        azurite: Any = _Connection(connection_string)
        publisher = CrlPublisher(ledger, ca.authority, reader, blob_store(azurite))
        patient = timer_context("benchmark")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, working = time.perf_counter(), time.process_time()
        published = publisher.publish(ca.authority.active().id, patient)
        seconds, cpu = time.perf_counter() - started, time.process_time() - working
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        working = time.process_time()
        publisher.publish(ca.authority.active().id, patient, force=False)
        assert published.pointer is not None and published.pointer.entries == count
        return seconds, cpu, time.process_time() - working, memory, published.pointer.size or 0


class _Connection:
    def __init__(self, connection_string: str) -> None:
        self.connection_string = connection_string


# --- Disabling: from Entra to the CRL, over HTTP ---


def disabling(quick: bool) -> None:
    """A user is disabled in the emulator; sync-user takes the certificate away; the timer publishes."""
    print("from a disabled user's sync to the published CRL, over HTTP, ms (median of several users)")
    with tempfile.TemporaryDirectory() as folder, running_cloud(Path(folder), "software") as cloud:
        settings, tenant = cloud.settings, cloud.tenant
        with running_stack(cloud.azurite, cloud.entra, tenant, Path(folder) / "stack", settings) as stack:
            stack.fire_timer("publish_crls")
            taken = [_disabled(stack, number) for number in range(3 if quick else 10)]
    synced, published, fetched = (statistics.median(column) * 1000 for column in zip(*taken, strict=True))
    row("sync-user: the certificate is on hold", f"{synced:.0f}")
    row("publish_crls: the CRL says so", f"{published:.0f}")
    row("GET crl, the first time", f"{fetched:.0f}")
    row("all together", f"{synced + published + fetched:.0f}")
    print("  In production the timer runs every minute: add up to 60 s, and the interval of the tenant sync.")


def _disabled(stack: Stack, number: int) -> tuple[float, float, float]:
    api = stack.api
    user = stack.entra.add_user(f"user{number}@contoso.example")
    name = {"user_principal_name": user.user_principal_name}
    user_id = api.post("sync-user", json=name).json()["user"]["id"]
    issued = api.post("provision-certificate", json={"user_id": user_id}).json()["certificate"]
    certificate = x509.load_pem_x509_certificate(issued["pem"].encode())
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    stack.entra.disable(user)
    moments = [time.perf_counter()]
    api.post("sync-user", json=name).raise_for_status()
    moments.append(time.perf_counter())
    stack.fire_timer("publish_crls")
    moments.append(time.perf_counter())
    deadline = time.monotonic() + 15
    while True:
        fetched = time.perf_counter()
        crl = x509.load_der_x509_crl(api.get(points[0].full_name[0].value).content)
        moments.append(time.perf_counter() - fetched + moments[2])
        if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            return moments[1] - moments[0], moments[2] - moments[1], moments[-1] - moments[2]
        assert time.monotonic() < deadline, "the certificate is not in the CRL"
        time.sleep(0.5)


PARTS: dict[str, Callable[[bool], None]] = {"writing": writing, "rebuilding": rebuilding, "disabling": disabling}

if __name__ == "__main__":
    main()
