"""Rebuilds at the same time, and SIGKILL between every two steps: numbers only rise, and nothing half-made is seen."""

import itertools
import os
import threading
from pathlib import Path

from cryptography import x509

from local.azurite.azurite import Azurite
from shared.directory.ledger import Ledger
from shared.directory.records.crl import CrlPointer, crl_key
from shared.directory.tables import TableStore
from shared.pki.crl.store import crl_folder
from shared.pki.signing.loader import load_backend
from tests.support.crls import TestCrls, blob_store, number_of, reasons
from tests.support.killed_publishing import BETWEEN, Assignment, lives
from tests.support.pki import PASSPHRASE, TestCa

TIMES = int(os.environ.get("KILLS_PER_STEP", "2"))


class Watcher:
    """What clients would have seen, all along."""

    def __init__(self, crls: TestCrls) -> None:
        self._crls = crls
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.pointers: list[CrlPointer] = []
        self.failure: BaseException | None = None

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            while not self._done.wait(0.05):
                pointer = self._crls.ca.ledger.get(CrlPointer, crl_key(self._crls.issuer.id))
                if pointer is None or pointer.number is None:
                    continue
                if not self.pointers or self.pointers[-1].number != pointer.number:
                    self.pointers.append(pointer)
                    crl = x509.load_der_x509_crl(self._crls.store.current(self._crls.issuer.id).der)
                    assert crl.is_signature_valid(self._crls.issuer.public_key)
                    assert number_of(crl) >= pointer.number
        except BaseException as error:  # noqa: BLE001  (handed to the test's thread)
            self.failure = error


def test_numbers_rise_and_cover_ever_more_whoever_is_killed_wherever(
    azurite: Azurite, tables: TableStore, tenant_id: str, tmp_path: Path
) -> None:
    settings = {"CA_SOFTWARE_KEY_PATH": str(tmp_path / "issuer.pem"), "CA_SOFTWARE_KEY_PASSPHRASE": PASSPHRASE}
    ca = TestCa.on(Ledger(tables, tenant_id), load_backend("software", settings)).initialize()
    crls = TestCrls.of(ca, blob_store(azurite), tmp_path / "replica")
    specimen = crls.issue()

    with Watcher(crls) as watcher:
        codes = lives(
            [
                Assignment(
                    azurite.connection_string,
                    tenant_id,
                    "software",
                    settings,
                    tmp_path,
                    gap,
                    seed,
                    specimen.id,
                )
                for seed, gap in enumerate(list(BETWEEN) * TIMES)
            ],
            at_once=3,
        )

    assert watcher.failure is None, watcher.failure
    assert codes.count(-9) > len(codes) / 2, "hardly anybody was killed"
    seen = [(pointer.number or 0, pointer.seq or 0, pointer.this_update) for pointer in watcher.pointers]
    for before, after in itertools.pairwise(seen):
        assert before[0] < after[0] and before[1] <= after[1]
    stored = [x509.load_der_x509_crl(crls.blobs.get(blob.name) or b"") for blob in crls.blobs.list(_folder(crls))]
    assert [number_of(crl) for crl in stored] == sorted({number_of(crl) for crl in stored})
    for earlier, later in itertools.pairwise(stored):
        assert set(reasons(earlier)) <= set(reasons(later)), "a higher number covers less"
        assert earlier.last_update_utc <= later.last_update_utc

    crls.publish()

    revoked = {each.serial_number for each in ca.certificates() if each.status.value == "revoked"}
    assert set(reasons(crls.current())) == revoked
    print(f"\n{len(codes)} lives, {codes.count(-9)} killed, {len(stored)} CRLs, {len(seen)} seen current")


def test_threads_that_publish_at_once_get_a_number_each(ca: TestCa, azurite: Azurite, tmp_path: Path) -> None:
    crls = TestCrls.of(ca, blob_store(azurite), tmp_path / "replica")
    others = [TestCrls.of(ca, crls.blobs, tmp_path / f"replica{n}") for n in range(3)]
    failures: list[BaseException] = []

    def rebuild(publishing: TestCrls) -> None:
        try:
            for _ in range(4):
                publishing.publish()
        except BaseException as error:  # noqa: BLE001  (handed to the test's thread)
            failures.append(error)

    threads = [threading.Thread(target=rebuild, args=(each,)) for each in others for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert number_of(crls.current()) == 24
    assert len(list(crls.blobs.list(_folder(crls)))) == 24


def _folder(crls: TestCrls) -> str:
    return crl_folder(crls.issuer.id)
