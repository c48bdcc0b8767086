"""SIGKILL between every two steps of the cycle, 20 times each: no signature is ever lost from the directory."""

import hashlib
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from local.azurite.azurite import Azurite
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import CertificateStatus, PendingCertificate
from shared.directory.tables import TableStore
from shared.pki.signing.loader import load_backend
from shared.pki.sweeper import Sweeper
from tests.support.killed_issuance import BETWEEN, Assignment, lives
from tests.support.pki import PASSPHRASE, TestCa, context
from tests.support.signing_backends import counted_signatures

TIMES = int(os.environ.get("KILLS_PER_STEP", "20"))
BACKEND = "tests.support.signing_backends:CountingBackend"


@pytest.mark.parametrize("gap", list(BETWEEN))
def test_after_a_kill_every_signature_is_accounted_for(
    azurite: Azurite,
    tables: TableStore,
    tenant_id: str,
    tmp_path: Path,
    gap: str,
) -> None:
    signatures = tmp_path / "signatures"
    settings = {
        "CA_SOFTWARE_KEY_PATH": str(tmp_path / "issuer.pem"),
        "CA_SOFTWARE_KEY_PASSPHRASE": PASSPHRASE,
        "COUNTED_SIGNATURES": str(signatures),
    }
    ca = TestCa.on(Ledger(tables, tenant_id), load_backend(BACKEND, settings), backend_name=BACKEND).initialize()
    users = tuple(ca.add_user().id for _ in range(4))
    delivered = tmp_path / "delivered"
    delivered.touch()

    codes = lives(
        [
            Assignment(azurite.connection_string, tenant_id, BACKEND, settings, gap, seed, users, delivered)
            for seed in range(TIMES)
        ],
        at_once=4,
    )

    assert codes == [-9] * TIMES
    signed = Counter(hashlib.sha256(tbs).hexdigest() for tbs, _ in counted_signatures(signatures)[1:])
    records = {record.tbs_sha256: record for record in ca.certificates()}
    handed_out = {int(line) for line in delivered.read_text().split()}
    assert set(signed) <= set(records), "a signature that the directory does not know"
    assert {record.id for record in records.values() if record.der} >= handed_out

    swept = Sweeper(Ledger(tables, tenant_id, clock=_later), clock=_later).run(context())

    after = {record.tbs_sha256: record for record in ca.certificates()}
    assert list(ca.ledger.scan(PendingCertificate)) == []
    statuses = Counter(record.status.value for record in after.values())
    assert set(statuses) <= {CertificateStatus.ISSUED.value, CertificateStatus.REVOKED.value}
    assert all(after[tbs_sha256].status.value in ("issued", "revoked") for tbs_sha256 in signed)
    for record in after.values():
        if record.status is CertificateStatus.ISSUED:
            certificate = x509.load_der_x509_certificate(record.der or b"")
            certificate.verify_directly_issued_by(ca.authority.issuer(record.issuer_id).certificate)
            assert record.tbs_sha256 in signed
    assert {record.id for record in after.values() if record.issued_at} >= handed_out
    assert len({record.serial_number for record in after.values()}) == len(after)
    print(
        f"\n{gap}: {TIMES} kills, {signed.total()} signatures, {len(after)} records "
        f"({statuses['issued']} issued, {statuses['revoked']} swept), {len(handed_out)} handed out; {swept}"
    )


def _later() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=16)
