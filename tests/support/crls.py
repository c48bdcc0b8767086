"""A CA that publishes CRLs: its replica, its blobs, and certificates taken away by writing their records."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from local.azurite.azurite import Azurite
from shared.context import Clock, Deadline, system_clock
from shared.directory.blobs import BlobStore
from shared.directory.ledger import Request, Transaction
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    RevocationReason,
    RevocationSource,
    certificate_key,
)
from shared.directory.records.crl import CrlPointer, crl_key
from shared.directory.replica.replica import Replica
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.crl.contents import CrlReader
from shared.pki.crl.publisher import CrlPublication, CrlPublisher
from shared.pki.crl.store import CrlStore
from shared.pki.revocation.departures import DeparturePolicy, Departures
from tests.support.pki import TestCa, context, order

CONTAINER = "crls"


def blob_store(azurite: Azurite) -> BlobStore:
    store = BlobStore.from_connection_string(azurite.connection_string, CONTAINER)
    store.create_if_missing()
    return store


def soon() -> Deadline:
    return Deadline.after(timedelta(seconds=60))


@dataclass
class TestCrls:
    """What a CA needs to publish CRLs, with a replica of its own."""

    __test__ = False

    ca: TestCa
    blobs: BlobStore
    replica: Replica
    reader: CrlReader
    publisher: CrlPublisher
    clock: Clock

    @classmethod
    def of(cls, ca: TestCa, blobs: BlobStore, folder: Path, clock: Clock = system_clock) -> "TestCrls":
        replica = Replica(ca.ledger, folder, ca.ledger.tenant_id)
        reader = CrlReader(ca.ledger, replica, Departures(DeparturePolicy()))
        publisher = CrlPublisher(ca.ledger, ca.authority, reader, blobs, clock=clock)
        return cls(ca, blobs, replica, reader, publisher, clock)

    @property
    def issuer(self) -> IssuerMaterial:
        return self.ca.authority.active()

    @property
    def store(self) -> CrlStore:
        """As another process would read: nothing cached."""
        return CrlStore(self.ca.ledger, self.blobs, clock=self.clock, cached_for=timedelta(0))

    def publish(self, issuer_id: str | None = None) -> CrlPublication:
        return self.publisher.publish(issuer_id or self.issuer.id, context())

    def publish_due(self) -> list[CrlPublication]:
        return self.publisher.publish_due(context())

    def pointer(self) -> CrlPointer:
        pointer = self.ca.ledger.get(CrlPointer, crl_key(self.issuer.id))
        assert pointer is not None
        return pointer

    def current(self) -> x509.CertificateRevocationList:
        return x509.load_der_x509_crl(self.store.current(self.issuer.id).der)

    def issue(self, **changes: Any) -> Certificate:
        """To a new user."""
        return self.ca.issuance.issue(order(self.ca.add_user(), **changes), context()).certificate

    def change(self, certificate: Certificate, **changes: Any) -> Certificate:
        return self.change_all([certificate], **changes)[0]

    def change_all(self, certificates: Iterable[Certificate], **changes: Any) -> list[Certificate]:
        def request(certificate: Certificate) -> Request[Certificate]:
            def decide(tx: Transaction) -> Certificate:
                current = tx.get(Certificate, certificate_key(certificate.id))
                assert current is not None
                after = replace(current, updated_at=tx.time, **{"revoked_at": tx.time, **changes})
                tx.put(after)
                return after

            return Request("certificate.revoked", context(), decide, ((Certificate, certificate.key),))

        results = self.ca.ledger.commit_all([request(each) for each in certificates], soon())
        return [result.value for result in results if not isinstance(result, Exception)]

    def revoke(
        self, certificate: Certificate, reason: RevocationReason = RevocationReason.SUPERSEDED, **changes: Any
    ) -> Certificate:
        source = RevocationSource.REQUEST
        return self.change(
            certificate,
            status=CertificateStatus.REVOKED,
            revocation_reason=reason,
            revocation_source=source,
            **changes,
        )

    def hold(self, certificate: Certificate) -> Certificate:
        return self.change(
            certificate,
            status=CertificateStatus.HELD,
            revocation_reason=RevocationReason.CERTIFICATE_HOLD,
            revocation_source=RevocationSource.DIRECTORY,
        )

    def release(self, certificate: Certificate) -> Certificate:
        return self.change(
            certificate,
            status=CertificateStatus.ISSUED,
            revoked_at=None,
            revocation_reason=None,
            revocation_source=None,
        )


def reasons(crl: x509.CertificateRevocationList) -> dict[str, str]:
    """By serial number, lower-case hex: the reason, `unspecified` where the entry has none."""
    found: dict[str, str] = {}
    for entry in crl:
        digits = f"{entry.serial_number:x}"
        try:
            reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
        except x509.ExtensionNotFound:
            reason = "unspecified"
        found["0" * (len(digits) % 2) + digits] = reason
    return found


def number_of(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
