"""The whole issuance cycle with its key in a vault: what the vault signs is what the directory knows."""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from local.entra.faults import Fault
from local.key_vault import faults
from local.key_vault.control import Vault
from shared.context import Deadline
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import CertificateStatus, PendingCertificate
from shared.directory.tables import TableStore
from shared.errors import AppError
from shared.pki.authority.issuer_certificate import IssuerPlan
from shared.pki.errors import BackendMisconfigured, BackendThrottled, BackendUnavailable, SignatureRefused
from shared.pki.issuance.sweeper import Sweeper
from shared.pki.keys import KeyType, generate_key
from tests.support.key_vault import VaultUnderTest
from tests.support.pki import TestCa, context, order

NEXT = IssuerPlan(common_name="Contoso Users CA 2", key_type=KeyType.P_256)
RSA_AND_EC = [KeyType.RSA_2048, KeyType.P_384]


@pytest.fixture
def vault(emulated_key_vault: VaultUnderTest) -> Vault:
    assert emulated_key_vault.emulated is not None
    return emulated_key_vault.emulated


@pytest.fixture
def ca(ledger: Ledger, key_vault: VaultUnderTest) -> TestCa:
    backend = key_vault.backend(key_vault.new_name())
    return TestCa.on(ledger, backend, backend_name="key_vault").initialize()


@pytest.mark.parametrize("key_type", RSA_AND_EC, ids=str)
def test_issuer_and_certificate_are_signed_by_the_vault(
    ledger: Ledger, key_vault: VaultUnderTest, key_type: KeyType
) -> None:
    backend = key_vault.backend(key_vault.new_name())
    ca = TestCa.on(ledger, backend, backend_name="key_vault").initialize(key_type)
    issued = ca.issuance.issue(order(ca.add_user()), context())

    issuer = ca.authority.active()
    assert KeyType.of(issuer.public_key) is key_type
    assert issued.certificate.der is not None
    leaf = x509.load_der_x509_certificate(issued.certificate.der)
    leaf.verify_directly_issued_by(issuer.certificate)
    issuer.certificate.verify_directly_issued_by(issuer.certificate)


def test_a_rollover_makes_a_new_version_and_the_old_issuers_key_stays_its_own(ca: TestCa) -> None:
    old = ca.authority.active().record
    ca.ceremony.roll_over(NEXT, context())
    ca.authority.forget()
    old_reference, new_reference = (issuer.record.key_reference for issuer in ca.authority.issuers())

    assert old_reference == old.key_reference
    assert old_reference.partition("/")[0] == new_reference.partition("/")[0]
    assert old_reference != new_reference
    ca.issuance.issue(order(ca.add_user()), context())


def test_every_signature_of_the_vault_is_found_in_the_directory(ca: TestCa, vault: Vault) -> None:
    vault.arm(faults.dropped(path=faults.SIGN))
    vault.arm(faults.failing(503, path=faults.SIGN, skip=2))
    for _ in range(5):
        ca.issuance.issue(order(ca.add_user()), context())

    known = {certificate.tbs_sha256 for certificate in ca.certificates()}
    issuer = ca.authority.active().certificate
    known.add(hashlib.sha256(issuer.tbs_certificate_bytes).hexdigest())
    made = [signature.digest for signature in vault.signatures()]
    assert set(made) == known
    assert len(made) == 7  # the issuer's, five certificates', and one of them twice


@pytest.mark.parametrize(
    "fault", [faults.wrong_signature(), faults.other_version(path=faults.SIGN)], ids=["digest", "version"]
)
def test_a_signature_that_does_not_verify_is_never_handed_out(ca: TestCa, vault: Vault, fault: Fault) -> None:
    ca.ceremony.roll_over(NEXT, context())
    vault.arm(fault)

    with pytest.raises(SignatureRefused):
        ca.issuance.issue(order(ca.add_user()), context())

    assert [certificate.status for certificate in ca.certificates()] == [CertificateStatus.PENDING]
    assert ca.certificates()[0].der is None


def test_a_throttled_vault_becomes_a_429_with_the_time_to_come_back(ca: TestCa, vault: Vault) -> None:
    vault.arm(faults.throttled("20", path=faults.SIGN, times=None))
    user = ca.add_user()
    impatient = replace(context(), deadline=Deadline.after(timedelta(seconds=5)))

    with pytest.raises(BackendThrottled) as caught:
        ca.issuance.issue(order(user), impatient)
    with pytest.raises(BackendThrottled):
        ca.issuance.issue(order(user), impatient)

    assert caught.value.retry_after is not None
    assert caught.value.retry_after.total_seconds() > 15
    actions = Counter(operation.action for row in ca.ledger.log(0) for operation in row.operations)
    assert actions["certificate.reserved"] == 1  # the second was refused before that
    assert ca.certificates() == []


def test_200_parallel_requests_on_a_throttled_vault_end_in_a_certificate_or_a_time_to_come_back(
    ca: TestCa, vault: Vault, tables: TableStore, tenant_id: str
) -> None:
    vault.arm(faults.throttled("1", path=faults.SIGN, times=8, probability=0.2, seed=5))
    vault.arm(faults.throttled("45", path=faults.SIGN, times=None, skip=120))

    issued, refused = issue_in_parallel(ca, 200)

    assert len(issued) == 120
    assert all(error.status in (429, 503) and error.retry_after is not None for error in refused)
    made = Counter(signature.digest for signature in vault.signatures()[1:])
    records = [record for record in ca.certificates() if record.status is not CertificateStatus.PENDING]
    assert made == Counter(record.tbs_sha256 for record in records)
    assert sorted(record.id for record in records) == sorted(issued)
    assert {record.status for record in records} == {CertificateStatus.ISSUED}
    assert len({record.serial_number for record in records}) == 120
    not_withdrawn = len(ca.certificates()) - len(records)  # on a busy machine, within the two seconds that there are
    assert Sweeper(Ledger(tables, tenant_id, clock=_later), clock=_later).run(context()).swept == not_withdrawn
    assert list(ca.ledger.scan(PendingCertificate)) == []


def test_200_parallel_requests_on_a_vault_that_also_breaks_off_leave_no_signature_unaccounted_for(
    ca: TestCa, vault: Vault, tables: TableStore, tenant_id: str
) -> None:
    vault.arm(faults.throttled("1", path=faults.SIGN, times=5, probability=0.1, seed=5))
    vault.arm(faults.dropped(path=faults.SIGN, times=None, probability=0.5, seed=6))
    vault.arm(faults.failing(503, path=faults.SIGN, times=None, probability=0.3, seed=7))

    issued, refused = issue_in_parallel(ca, 200)

    assert all(error.status in (429, 503, 504) and error.retry_after is not None for error in refused)
    made = {signature.digest for signature in vault.signatures()[1:]}
    pending = [record for record in ca.certificates() if record.status is CertificateStatus.PENDING]
    assert {record.tbs_sha256 for record in ca.certificates()} >= made
    assert {record.tbs_sha256 for record in pending} & made, "no signature was lost on its way"
    assert sorted(record.id for record in ca.certificates() if record not in pending) == sorted(issued)
    assert len(issued) + len(refused) == 200

    assert Sweeper(Ledger(tables, tenant_id, clock=_later), clock=_later).run(context()).swept == len(pending)
    assert list(ca.ledger.scan(PendingCertificate)) == []
    statuses = {record.tbs_sha256: record.status for record in ca.certificates()}
    assert {statuses[digest] for digest in made} == {CertificateStatus.ISSUED, CertificateStatus.REVOKED}


def _later() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=16)


def issue_in_parallel(ca: TestCa, times: int) -> tuple[list[int], list[AppError]]:
    """The ids of what was handed out, and the errors; anything but an AppError is raised."""
    users = [ca.add_user() for _ in range(8)]
    keys = [generate_key(KeyType.P_256) for _ in users]

    def issue(number: int) -> int | AppError:
        wanted = order(users[number % 8], keys[number % 8])
        try:
            return ca.issuance.issue(wanted, context()).certificate.id
        except AppError as error:
            return error

    with ThreadPoolExecutor(times) as threads:
        ends = list(threads.map(issue, range(times)))
    return [end for end in ends if isinstance(end, int)], [end for end in ends if isinstance(end, AppError)]


def test_a_disabled_key_stops_issuance_with_its_reason(ca: TestCa, vault: Vault) -> None:
    name, _, version = ca.authority.active().record.key_reference.partition("/")
    vault.set_attributes(name, version, enabled=False)

    with pytest.raises(BackendMisconfigured, match="is disabled"):
        ca.issuance.issue(order(ca.add_user()), context())
    with pytest.raises(BackendMisconfigured, match="is disabled"):
        ca.authority.check(context().deadline)


def test_a_vault_that_is_down_stops_issuance_in_time(ca: TestCa, vault: Vault) -> None:
    vault.arm(faults.failing(503, times=None))
    impatient = replace(context(), deadline=Deadline.after(timedelta(seconds=2)))

    with pytest.raises(BackendUnavailable):
        ca.issuance.issue(order(ca.add_user()), impatient)
