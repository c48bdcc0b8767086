"""After a restore of the tables: numbers and ids go past all that were published, and nothing comes back to life."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from local.azurite.azurite import Azurite
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import CertificateStatus, CertifiedKey, RevocationReason, certified_key_key
from shared.directory.records.crl import CarriedRevocation
from shared.directory.tables import TableStore
from shared.pki.crl.errors import CrlNotOurs, CrlNumberUsed
from shared.pki.keys import KeyType
from shared.pki.revocation.reconciliation import Reconciliation
from tests.support.crls import TestCrls, blob_store, number_of, reasons
from tests.support.ocsp import request_for, responder_of
from tests.support.pki import TestCa, context, software_backend


@dataclass
class Restored:
    """A directory as it was at the backup, with the CRLs that were published after it still in the blob storage."""

    crls: TestCrls
    published: bytes
    revoked: str
    held: str
    unknown: str

    @property
    def reconciliation(self) -> Reconciliation:
        return Reconciliation(self.crls.ca.ledger, self.crls.ca.authority, self.crls.blobs)


def copy_partition(tables: TableStore, source: str, target: str) -> None:
    """A backup and its restore in one: the same rows under another tenant id."""
    from azure.data.tables import TableClient

    client: TableClient = tables._client
    for entity in client.query_entities("PartitionKey eq @p", parameters={"p": source}):
        client.create_entity({**entity, "PartitionKey": target})


@pytest.fixture
def restored(azurite: Azurite, tables: TableStore, tenant_id: str, ledger: Ledger, tmp_path: Path) -> Restored:
    before = TestCrls.of(
        TestCa.on(ledger, software_backend(tmp_path)).initialize(), blob_store(azurite), tmp_path / "before"
    )
    revoked, held = before.issue(), before.issue()
    before.publish()
    copy_partition(tables, tenant_id, f"{tenant_id}-restored")
    before.revoke(revoked, RevocationReason.KEY_COMPROMISE)
    before.hold(held)
    unknown = before.revoke(before.issue())
    before.publish()
    before.publish()
    published = before.store.current(before.issuer.id).der
    ca = TestCa.on(Ledger(tables, f"{tenant_id}-restored"), before.ca.backend)
    after = TestCrls.of(ca, before.blobs, tmp_path / "after")
    return Restored(after, published, revoked.serial_number, held.serial_number, unknown.serial_number)


def test_without_reconciliation_nothing_is_published(restored: Restored) -> None:
    with pytest.raises(CrlNumberUsed):
        restored.crls.publish()


def test_afterwards_numbers_go_on_and_all_that_was_listed_still_is(restored: Restored) -> None:
    (issuer,) = restored.reconciliation.run([], 0, context())

    assert (issuer.number, issuer.revoked, issuer.carried) == (3, 2, 1)
    restored.crls.publish()
    crl = restored.crls.current()
    assert number_of(crl) == 4
    assert reasons(crl) == {
        restored.revoked: "keyCompromise",
        restored.held: "certificateHold",
        restored.unknown: "superseded",
    }
    assert crl.last_update_utc >= x509.load_der_x509_crl(restored.published).last_update_utc


def test_records_are_as_revoked_as_the_crl_said(restored: Restored) -> None:
    restored.reconciliation.run([], 0, context())

    records = {each.serial_number: each for each in restored.crls.ca.certificates()}
    assert records[restored.revoked].status is CertificateStatus.REVOKED
    assert records[restored.held].status is CertificateStatus.HELD
    ledger = restored.crls.ca.ledger
    key = ledger.get(CertifiedKey, certified_key_key(records[restored.revoked].public_key_sha256))
    assert key is not None and key.compromised
    assert [each.serial_number for each in ledger.scan(CarriedRevocation)] == [restored.unknown]


def test_ocsp_knows_carried_revocations(restored: Restored) -> None:
    restored.reconciliation.run([], 0, context())
    request = request_for(int(restored.unknown, 16), restored.crls.issuer)

    for replica in (True, False):
        reply = responder_of(restored.crls, replica=replica).answer(restored.crls.issuer.id, request)
        assert x509.ocsp.load_der_ocsp_response(reply.content).revocation_reason is x509.ReasonFlags.superseded


def test_a_copy_of_a_crl_is_enough_where_the_blobs_were_restored_too(restored: Restored) -> None:
    for blob in restored.crls.blobs.list(f"crl/{restored.crls.issuer.id}/"):
        restored.crls.blobs.delete(blob.name)
    pem = x509.load_der_x509_crl(restored.published).public_bytes(Encoding.PEM)

    (issuer,) = restored.reconciliation.run([pem], 0, context())
    restored.crls.publish()

    assert (issuer.number, issuer.carried) == (3, 1)
    assert number_of(restored.crls.current()) == 4
    assert set(reasons(restored.crls.current())) == {restored.revoked, restored.held, restored.unknown}


def test_it_can_be_repeated(restored: Restored) -> None:
    restored.reconciliation.run([], 0, context())
    head = restored.crls.ca.ledger.head()

    (again,) = restored.reconciliation.run([], 0, context())

    assert (again.revoked, again.carried) == (0, 0)
    assert restored.crls.ca.ledger.head() == head


def test_ids_that_may_have_been_given_out_are_not_given_again(restored: Restored) -> None:
    before = restored.crls.ca.ledger.head().next_ids

    restored.reconciliation.run([], 500, context())

    assert restored.crls.ca.add_user().id == before["user"] + 500
    assert restored.crls.issue().id == before["certificate"] + 500


def _by_another_ca(tmp_path: Path) -> bytes:
    from tests.support.issuers import LooseIssuer
    from tests.unit.pki.test_crl import draft_of

    other = LooseIssuer.make(KeyType.P_256, name="Somebody else's CA")
    return draft_of([], other).sign(other.key)


@pytest.mark.parametrize("make", [_by_another_ca, lambda _: b"nothing of the kind", lambda _: b"-----BEGIN X509 CRL"])
def test_a_crl_of_somebody_else_changes_nothing(
    restored: Restored, tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    head = restored.crls.ca.ledger.head()

    with pytest.raises(CrlNotOurs):
        restored.reconciliation.run([make(tmp_path)], 100, context())

    assert restored.crls.ca.ledger.head() == head
