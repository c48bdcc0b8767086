"""The life of the CA's own keys: an issuer is made, brought back from another CA, published, activated, retired."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from shared.context import Clock, Context, system_clock
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.certificate import CertifiedKey, certified_key_key
from shared.directory.records.issuer import Issuer, IssuerStatus, issuer_key
from shared.pki.authority.authority import Authority
from shared.pki.authority.issuer_certificate import (
    IssuerPlan,
    check_chain,
    check_issuer_certificate,
    issuer_id,
    ordered_chain,
    self_signed_draft,
    signing_request,
)
from shared.pki.errors import CeremonyRefused, IssuerNotFound, SignatureRefused
from shared.pki.issuance.cycle import SERIAL_NUMBER_BITS
from shared.pki.keys import KeyType, PublicKey, sign, spki_der, verify
from shared.pki.names import rfc4514
from shared.pki.tbs import assemble, raw_subject

ISSUERS = f"{Issuer.KIND}|"


@dataclass(frozen=True)
class _FreshKey:
    """A key of the backend that no issuer has yet."""

    reference: str
    public: PublicKey


class Ceremony:
    """The operator's steps. Each can be repeated after a crash: it goes on where it stopped."""

    def __init__(
        self,
        ledger: Ledger,
        authority: Authority,
        *,
        clock: Clock = system_clock,
        random_bits: Callable[[int], int] = secrets.randbits,
    ) -> None:
        self._ledger = ledger
        self._authority = authority
        self._clock = clock
        self._random_bits = random_bits

    def initialize(self, plan: IssuerPlan, context: Context) -> Issuer:
        """Makes the first issuer, self-signed and active. Raises CeremonyRefused if there is one."""
        self._require_first()
        return self._self_signed(plan, context)

    def roll_over(self, plan: IssuerPlan, context: Context) -> Issuer:
        """Makes the next issuer, self-signed, published for trust and not yet active. Raises CaNotInitialized."""
        self._authority.active()
        return self._self_signed(plan, context)

    def request(self, plan: IssuerPlan, context: Context) -> Issuer:
        """Makes an issuer's key and a request for another CA (`Issuer.request`); first issuer or rollover alike."""
        for issuer in self._ledger.scan(Issuer):
            if issuer.status is IssuerStatus.REQUESTED:
                _require_same_name(issuer, plan)
                return issuer
        key = self._fresh_key(plan, context)
        request = signing_request(plan, self._authority.backend.signing_key(key.reference, context.deadline))
        issuer = self._issuer(plan, key, IssuerStatus.REQUESTED)
        return self._insert(
            replace(issuer, request=request.public_bytes(serialization.Encoding.DER)), "issuer.requested", context
        )

    def import_certificate(self, pem: bytes, context: Context) -> Issuer:
        """Brings back the certificate that another CA made for a request, with the chain up to its root.

        Active at once if no other issuer is, else published. Raises CeremonyRefused.
        """
        issuer, (certificate, *parents) = self._brought_back(pem)
        pem_of = [parent.public_bytes(serialization.Encoding.PEM).decode() for parent in parents]
        return self._publish(
            replace(_certified(issuer, certificate), parents_pem="".join(pem_of)), "issuer.imported", context
        )

    def chain_of(self, pem: bytes) -> tuple[x509.Certificate, ...]:
        """What `import_certificate` would import: the issuer, then those above it. Raises CeremonyRefused."""
        return self._brought_back(pem)[1]

    def activate(self, wanted: str, context: Context) -> Issuer:
        """Lets a published issuer issue from now on; the one before it is retired. Raises CeremonyRefused."""

        def decide(tx: Transaction) -> Issuer:
            issuers = {issuer.id: issuer for issuer in tx.scan(Issuer, ISSUERS)}
            if wanted not in issuers:
                raise IssuerNotFound(wanted)
            chosen = issuers[wanted]
            if chosen.status not in (IssuerStatus.PUBLISHED, IssuerStatus.ACTIVE):
                raise CeremonyRefused(f"The issuer {wanted} is {chosen.status}: only a published one can be activated.")
            for issuer in issuers.values():
                if issuer.status is IssuerStatus.ACTIVE and issuer.id != wanted:
                    tx.put(replace(issuer, status=IssuerStatus.RETIRED, retired_at=tx.time, updated_at=tx.time))
            if chosen.status is IssuerStatus.ACTIVE:
                return chosen
            active = replace(chosen, status=IssuerStatus.ACTIVE, activated_at=tx.time, updated_at=tx.time)
            tx.put(active)
            return active

        self._authority.signing_key(self._authority.issuer(wanted), context.deadline)
        return self._commit("issuer.activated", decide, context)

    # --- Self-signed: reserve, sign, verify, publish, as for any certificate ---

    def _self_signed(self, plan: IssuerPlan, context: Context) -> Issuer:
        pending = self._reserved(plan, context)
        key = self._authority.backend.signing_key(pending.key_reference, context.deadline)
        tbs = pending.tbs or b""
        signature = sign(key, tbs)
        public = key.public_key()
        try:
            verify(public, signature, tbs)
        except InvalidSignature as error:
            raise SignatureRefused from error
        if spki_der(public) != pending.public_key:
            raise SignatureRefused
        certificate = x509.load_der_x509_certificate(assemble(tbs, public, signature))
        check_issuer_certificate(certificate, self._clock())
        return self._publish(_certified(pending, certificate), "issuer.published", context)

    def _reserved(self, plan: IssuerPlan, context: Context) -> Issuer:
        """The issuer as `pending`: that of an attempt that died, or a new one."""
        for issuer in self._ledger.scan(Issuer):
            if issuer.status is IssuerStatus.PENDING:
                _require_same_name(issuer, plan)
                return issuer
        key = self._fresh_key(plan, context)
        draft = self_signed_draft(plan, key.public, self._random_bits(SERIAL_NUMBER_BITS), self._clock())
        issuer = replace(self._issuer(plan, key, IssuerStatus.PENDING), tbs=draft.tbs)
        return self._insert(issuer, "issuer.reserved", context)

    # --- What all have in common ---

    def _require_first(self) -> None:
        for issuer in self._ledger.scan(Issuer):
            if issuer.status is not IssuerStatus.PENDING:
                raise CeremonyRefused(
                    f"There is an issuer already: {issuer.subject} ({issuer.id}, {issuer.status}). "
                    "A new one comes by `manage.py ca rollover`."
                )

    def _fresh_key(self, plan: IssuerPlan, context: Context) -> _FreshKey:
        in_use = [
            issuer.key_reference
            for issuer in self._ledger.scan(Issuer)
            if issuer.backend == self._authority.backend_name
        ]
        backend = self._authority.backend
        reference = backend.provide_key(plan.key_type, context.deadline, in_use=in_use)
        return _FreshKey(reference, backend.public_key(reference, context.deadline))

    def _issuer(self, plan: IssuerPlan, key: _FreshKey, status: IssuerStatus) -> Issuer:
        now = self._clock()
        return Issuer(
            id=issuer_id(key.public),
            status=status,
            subject=rfc4514(plan.name),
            subject_der=plan.name.public_bytes(),
            key_type=KeyType.of(key.public) or plan.key_type,
            public_key=spki_der(key.public),
            backend=self._authority.backend_name,
            key_reference=key.reference,
            created_at=now,
            updated_at=now,
        )

    def _insert(self, issuer: Issuer, action: str, context: Context) -> Issuer:
        """A new issuer: its key and its name have never been an issuer's before, its key nobody's."""
        key_sha256 = hashlib.sha256(issuer.public_key).hexdigest()

        def decide(tx: Transaction) -> Issuer:
            for other in tx.scan(Issuer, ISSUERS):
                if other.subject_der == issuer.subject_der:
                    raise CeremonyRefused(
                        f"{issuer.subject} is the name of another issuer: a new key needs a new name."
                    )
                if other.status in (IssuerStatus.PENDING, IssuerStatus.REQUESTED):
                    raise CeremonyRefused(f"{other.subject} ({other.id}) is still {other.status}: finish that first.")
            if tx.get(CertifiedKey, certified_key_key(key_sha256)) is not None:
                raise CeremonyRefused("The backend's key has been certified before: an issuer needs one of its own.")
            tx.put(CertifiedKey(public_key_sha256=key_sha256, user_id=None))
            tx.put(issuer)
            return issuer

        return self._commit(action, decide, context)

    def _publish(self, issuer: Issuer, action: str, context: Context) -> Issuer:
        """Active if there is no active issuer, else published."""

        def decide(tx: Transaction) -> Issuer:
            current = tx.get(Issuer, issuer_key(issuer.id))
            if current is None or current.status not in (IssuerStatus.PENDING, IssuerStatus.REQUESTED):
                raise CeremonyRefused(f"The issuer {issuer.id} has been finished by somebody else.")
            if any(other.status is IssuerStatus.ACTIVE for other in tx.scan(Issuer, ISSUERS)):
                done = replace(issuer, status=IssuerStatus.PUBLISHED, updated_at=tx.time)
            else:
                done = replace(issuer, status=IssuerStatus.ACTIVE, activated_at=tx.time, updated_at=tx.time)
            tx.put(done)
            return done

        return self._commit(action, decide, context)

    def _brought_back(self, pem: bytes) -> tuple[Issuer, tuple[x509.Certificate, ...]]:
        try:
            certificates = x509.load_pem_x509_certificates(pem)
        except ValueError as error:
            raise CeremonyRefused("The file does not hold certificates in PEM.") from error
        issuer, certificate = self._requested_among(certificates)
        now = self._clock()
        check_issuer_certificate(certificate, now)
        parents = ordered_chain(certificate, certificates)
        check_chain(parents, now)
        return issuer, (certificate, *parents)

    def _requested_among(self, certificates: list[x509.Certificate]) -> tuple[Issuer, x509.Certificate]:
        requested = {
            issuer.public_key: issuer for issuer in self._ledger.scan(Issuer) if issuer.status is IssuerStatus.REQUESTED
        }
        if not requested:
            raise CeremonyRefused("No certificate is awaited: make a request first (`manage.py ca init --csr FILE`).")
        for certificate in certificates:
            key = certificate.public_key()
            if KeyType.of(key) is not None and (issuer := requested.get(spki_der(key))):  # type: ignore[arg-type]
                return issuer, certificate
        raise CeremonyRefused("None of the certificates is for the key that was requested for.")

    def _commit(self, action: str, decide: Callable[[Transaction], Issuer], context: Context) -> Issuer:
        committed = self._ledger.commit(Request(action, context, decide), context.deadline)
        self._authority.forget()
        return committed.value


def _certified(issuer: Issuer, certificate: x509.Certificate) -> Issuer:
    der = certificate.public_bytes(serialization.Encoding.DER)
    return replace(
        issuer,
        tbs=None,
        der=der,
        fingerprint=hashlib.sha256(der).hexdigest(),
        subject=rfc4514(certificate.subject),
        subject_der=raw_subject(certificate.tbs_certificate_bytes),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _require_same_name(issuer: Issuer, plan: IssuerPlan) -> None:
    if issuer.subject_der != plan.name.public_bytes():
        raise CeremonyRefused(
            f"{issuer.subject} ({issuer.id}) is still {issuer.status}: finish that first, under that name."
        )
