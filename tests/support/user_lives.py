"""The app's own objects on an emulated tenant, and what OpenSSL says of its users' certificates after a sync."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from local.entra.tenant_control import Tenant
from shared.context import Actor, ActorKind, Context, Deadline
from shared.directory.records.certificate import Certificate
from shared.pki.authority.ceremony import Ceremony
from shared.pki.authority.issuer_certificate import IssuerPlan
from shared.pki.crl.revocation_list import to_pem
from shared.pki.crl.store import CrlStore
from shared.pki.keys import KeyType
from shared.pki.ocsp.responder import OcspResponder
from shared.pki.ocsp.responder_certificate import OcspCertification
from shared.pki.ocsp.signers import OcspSigners
from shared.pki.ocsp.statuses import OcspStatuses
from shared.services import Services
from tests.support.pki import order
from tests.support.revocation_checkers import run

NEVER_CACHED = timedelta(0)


def patient() -> Context:
    return Context(Actor(ActorKind.TIMER, "tests"), "life", Deadline.after(timedelta(minutes=2)))


@dataclass
class Observer:
    """Fires the app's timers and asks OpenSSL; keeps a journal of commands and their output."""

    services: Services
    tenant: Tenant
    folder: Path
    journal: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        ceremony = Ceremony(self.services.ledger, self.services.authority)
        ceremony.initialize(IssuerPlan(common_name="Contoso Users CA", key_type=KeyType.P_256), patient())
        self._issuer = self.services.authority.active()
        (self.folder / "ca.pem").write_text(self._issuer.pem)
        statuses = OcspStatuses(
            self.services.ledger, self.services.replica, self.services.crl_reader, max_age=NEVER_CACHED
        )
        signers = OcspSigners(OcspCertification(self.services.ledger, self.services.authority))
        self._responder = OcspResponder(self.services.authority, statuses, signers, cached_for=NEVER_CACHED)

    def issue(self, user_principal_name: str, name: str) -> Certificate:
        """To a user who is synchronized by a call, as the API does it; `name`: of the file."""
        synced = self.services.user_sync.sync(user_principal_name, patient())
        issued = self.services.issuance.issue(order(synced.user), patient()).certificate
        parsed = x509.load_der_x509_certificate(issued.der or b"")
        (self.folder / f"{name}.pem").write_bytes(parsed.public_bytes(Encoding.PEM))
        return issued

    def when(self, what: str, change: Callable[[], None] = lambda: None) -> None:
        """A change in Entra, then the two timers: the tenant sync and the publication of CRLs."""
        self.journal.append(f"\n{what}")
        change()
        report = self.services.tenant_sync.run(patient())
        assert report.outcome == "completed", report
        (publication,) = self.services.crl_publisher.publish_due(patient())
        assert publication.error is None
        store = CrlStore(self.services.ledger, self.services.blobs, cached_for=NEVER_CACHED)
        (self.folder / "crl.pem").write_bytes(to_pem(store.current(self._issuer.id).der))

    def openssl(self, name: str) -> tuple[str, str]:
        """Of the certificate in that file: what `openssl verify` says by the CRL, and `openssl ocsp` by a reply.

        `good`; `revoked`, with the reason where OCSP tells one.
        """
        return self._by_crl(name), self._by_ocsp(name)

    def _by_crl(self, name: str) -> str:
        said = self._run(f"openssl verify -crl_check -CAfile ca.pem -CRLfile crl.pem {name}.pem", code=None)
        if said == f"{name}.pem: OK\n":
            return "good"
        assert "error 23 at 0 depth lookup: certificate revoked" in said, said
        return "revoked"

    def _by_ocsp(self, name: str) -> str:
        asked = f"openssl ocsp -no_nonce -issuer ca.pem -cert {name}.pem"
        self._run(f"{asked} -reqout request.der", silent=True)
        reply = self._responder.answer(self._issuer.id, (self.folder / "request.der").read_bytes())
        (self.folder / "reply.der").write_bytes(reply.content)
        said = self._run(f"{asked} -CAfile ca.pem -respin reply.der")
        assert "Response verify OK" in said, said
        status = said.partition(f"{name}.pem: ")[2].partition("\n")[0]
        reason = said.partition("Reason: ")[2].partition("\n")[0]
        return f"{status}, {reason}" if reason else status

    def _run(self, command: str, *, code: int | None = 0, silent: bool = False) -> str:
        said = run(command.split(), code=code, folder=self.folder)
        if not silent:
            self.journal += [f"$ {command}", said.rstrip()]
        return said
