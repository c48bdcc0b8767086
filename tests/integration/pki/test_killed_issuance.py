"""SIGKILL between every two steps of the cycle, 20 times each: no signature is ever lost from the directory."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from local.azurite.azurite import Azurite
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import CertificateStatus, PendingCertificate
from shared.directory.tables import TableStore
from shared.pki.issuance.sweeper import Sweeper
from shared.pki.signing.loader import load_backend
from tests.support.key_vault import VaultUnderTest
from tests.support.killed_issuance import BETWEEN, Assignment, Nursery
from tests.support.pki import PASSPHRASE, TestCa, context
from tests.support.signing_backends import counted_signatures

TIMES = int(os.environ.get("KILLS_PER_STEP", "20"))
COUNTING = "tests.support.signing_backends:CountingBackend"


@dataclass(frozen=True)
class KeyHolder:
    """Who holds the CA's key. `signed`: the SHA-256 of all that was ever signed with it, the issuer's own first."""

    backend: str
    settings: Mapping[str, str]
    signed: Callable[[], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture
def software(tmp_path: Path) -> KeyHolder:
    file = tmp_path / "signatures"
    settings = {
        "CA_SOFTWARE_KEY_PATH": str(tmp_path / "issuer.pem"),
        "CA_SOFTWARE_KEY_PASSPHRASE": PASSPHRASE,
        "COUNTED_SIGNATURES": str(file),
    }
    return KeyHolder(
        COUNTING, settings, lambda: [hashlib.sha256(tbs).hexdigest() for tbs, _ in counted_signatures(file)]
    )


@pytest.fixture
def vault(emulated_key_vault: VaultUnderTest) -> KeyHolder:
    """Whose vault counts for itself. The issuer's key is P-256, so that what it signs is a SHA-256."""
    emulated = emulated_key_vault.emulated
    assert emulated is not None
    return KeyHolder(
        "key_vault",
        {**emulated_key_vault.settings, "CA_KEY_VAULT_KEY": emulated_key_vault.new_name()},
        lambda: [signature.digest for signature in emulated.signatures()],
        {"REQUESTS_CA_BUNDLE": os.environ["REQUESTS_CA_BUNDLE"]},
    )


@pytest.fixture(params=["software", "vault"])
def holder(request: pytest.FixtureRequest) -> KeyHolder:
    found: KeyHolder = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running


@pytest.mark.parametrize("gap", list(BETWEEN))
def test_after_a_kill_every_signature_is_accounted_for(
    azurite: Azurite,
    tables: TableStore,
    tenant_id: str,
    tmp_path: Path,
    holder: KeyHolder,
    nursery: Nursery,
    gap: str,
) -> None:
    backend = load_backend(holder.backend, holder.settings)
    ca = TestCa.on(Ledger(tables, tenant_id), backend, backend_name=holder.backend).initialize()
    users = tuple(ca.add_user().id for _ in range(4))
    delivered = tmp_path / "delivered"
    delivered.touch()

    codes = nursery.lives(
        [
            Assignment(
                azurite.connection_string,
                tenant_id,
                holder.backend,
                holder.settings,
                holder.environment,
                gap,
                seed,
                users,
                delivered,
            )
            for seed in range(TIMES)
        ],
        at_once=4,
    )

    assert codes == [-9] * TIMES
    signed = Counter(holder.signed()[1:])
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
        f"\n{holder.backend}, {gap}: {TIMES} kills, {signed.total()} signatures, {len(after)} records "
        f"({statuses['issued']} issued, {statuses['revoked']} swept), {len(handed_out)} handed out; {swept}"
    )


def _later() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=16)
