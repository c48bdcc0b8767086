"""SIGKILL between the steps of a renewal: no certificate ever has two successors, or loses its place to none."""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.azurite.azurite import Azurite
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import CertificateStatus, Succession
from shared.directory.tables import TableStore
from shared.pki.issuance.sweeper import Sweeper
from shared.pki.signing.loader import load_backend
from tests.support.killed_issuance import Assignment, Nursery
from tests.support.pki import PASSPHRASE, TestCa, context, order

TIMES = int(os.environ.get("KILLS_PER_STEP", "2"))
OLD_ONES = 5
AROUND_THE_CLAIM = ("reserved | signed", "verified | committed")
"""What happens in the other gaps is the same as without a renewal."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running


@pytest.mark.parametrize("gap", AROUND_THE_CLAIM)
def test_after_kills_every_certificate_has_one_successor_or_can_get_one(
    azurite: Azurite, tables: TableStore, tenant_id: str, tmp_path: Path, nursery: Nursery, gap: str
) -> None:
    settings = {"CA_SOFTWARE_KEY_PATH": str(tmp_path / "issuer.pem"), "CA_SOFTWARE_KEY_PASSPHRASE": PASSPHRASE}
    ca = TestCa.on(Ledger(tables, tenant_id), load_backend("software", settings)).initialize()
    ada = ca.add_user()
    old_ones = {ca.issuance.issue(order(ada), context()).certificate.id for _ in range(OLD_ONES * TIMES)}
    delivered = tmp_path / "delivered"
    delivered.touch()
    batches = [tuple(sorted(old_ones)[start::TIMES]) for start in range(TIMES)]

    codes = nursery.lives(
        [
            Assignment(
                azurite.connection_string, tenant_id, "software", settings, {}, gap, seed, (ada.id,), delivered, batch
            )
            for seed, batch in enumerate(batches)
        ],
        at_once=4,
    )

    assert codes == [-9] * TIMES
    later = TestCa.on(Ledger(tables, tenant_id, clock=_later), ca.backend, clock=_later)
    Sweeper(later.ledger, clock=_later).run(context())
    records = {record.id: record for record in later.certificates()}
    successors = Counter(r.renews for r in records.values() if r.renews and r.status is CertificateStatus.ISSUED)
    assert max(successors.values(), default=0) <= 1
    assert {int(line) for line in delivered.read_text().split()} <= {
        r.id for r in records.values() if r.renews in successors
    }
    scheduled = {row.certificate_id: row.renewed_by for row in later.ledger.scan(Succession)}
    assert scheduled == {r.renews: r.id for r in records.values() if r.renews and r.status is CertificateStatus.ISSUED}
    for number in old_ones - successors.keys():
        assert records[number].status is CertificateStatus.ISSUED
    left = min(old_ones - successors.keys())
    assert later.issuance.issue(order(ada, renews=left), context()).certificate.renews == left


def _later() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=16)
