"""The certificate of a delegated OCSP responder (RFC 6960 4.2.2.2), issued through the ledger like any other."""

import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.context import Clock, Context, Deadline, system_clock
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.certificate import (
    Certificate,
    CertificateKind,
    CertificateStatus,
    KeyOrigin,
    PendingCertificate,
    SerialNumber,
    certificate_key,
    pending_certificate_key,
    serial_number_key,
)
from shared.directory.records.issuer import Issuer, IssuerStatus, issuer_key
from shared.directory.records.ocsp import OcspQuota, ocsp_quota_key
from shared.errors import AppError
from shared.pki.authority.authority import Authority
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.errors import (
    BackendError,
    IssuanceOvertaken,
    IssuerChanged,
    SerialNumberTaken,
    SignatureRefused,
    SigningTooLate,
)
from shared.pki.issuance.cycle import SERIAL_NUMBER_BITS, WITHDRAWING_TIME
from shared.pki.issuance.reservation import SIGNING_TIME, rows_of, withdraw
from shared.pki.issuance.user_certificate import BACKDATING
from shared.pki.keys import KeyType, PrivateKey, generate_key, sign, spki_sha256, verify
from shared.pki.names import cut, rfc4514, subject
from shared.pki.tbs import Draft, Validity, assemble, draft, encoded_extension
from shared.pki.user_ids import serial_number_text

LIFE = timedelta(hours=24)
"""Short, because nobody checks whether it was revoked: id-pkix-ocsp-nocheck (RFC 6960 4.2.2.2.1)."""
QUOTA = 60
QUOTA_PERIOD = timedelta(hours=1)
_SIGNING = frozenset({IssuerStatus.PUBLISHED, IssuerStatus.ACTIVE, IssuerStatus.RETIRED})


class OcspQuotaExceeded(AppError):
    """Processes come and go so fast that the issuer would sign responder certificates all the time."""

    status, code = 503, "ocsp_quota_exceeded"

    def __init__(self) -> None:
        super().__init__(
            f"{QUOTA} OCSP responder certificates have been signed within an hour.", retry_after=timedelta(minutes=5)
        )


@dataclass(frozen=True)
class OcspSigner:
    """A responder's key, which is in this process only, and its certificate, DER."""

    key: ec.EllipticCurvePrivateKey
    certificate: bytes
    key_hash: bytes
    """SHA-1 of the public key's bits: how replies name their signer."""
    not_before: datetime
    not_after: datetime

    def is_valid(self, now: datetime) -> bool:
        return self.not_before <= now < self.not_after

    def is_fresh(self, now: datetime) -> bool:
        """Whether it need not be replaced yet: three quarters of its life are not over."""
        return self.not_before <= now < self.not_before + (self.not_after - self.not_before) * 0.75


class OcspCertification:
    """Makes responder keys and has the issuers certify them."""

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

    def certify(self, issuer: IssuerMaterial, context: Context) -> OcspSigner:
        """A fresh key with its certificate: reserved, signed, verified, confirmed.

        Raises: OcspQuotaExceeded, IssuerChanged, and what the ledger and the signing backend raise.
        """
        key = generate_key(KeyType.P_256)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        serial_number = self._random_bits(SERIAL_NUMBER_BITS) or 1
        prepared = _draft(issuer, key.public_key(), serial_number, self._clock())
        reserved = self._commit("ocsp_responder.reserved", _reserve(_record(prepared, issuer, context)), context)
        signature = self._sign(reserved, prepared, issuer, context)
        try:
            verify(issuer.public_key, signature, prepared.tbs)
        except InvalidSignature as error:
            raise SignatureRefused from error
        encoded = assemble(prepared.tbs, issuer.public_key, signature)
        self._commit("ocsp_responder.confirmed", _confirm(reserved.id, encoded), context)
        key_hash = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
        return OcspSigner(key, encoded, key_hash, reserved.not_before, reserved.not_after)

    def _sign(self, reserved: Certificate, prepared: Draft, issuer: IssuerMaterial, context: Context) -> bytes:
        """Where it is certain that nothing was signed, the reservation is taken back: else the CRL would list it."""
        key: PrivateKey | None = None
        try:
            if self._clock() >= reserved.sign_before:
                raise SigningTooLate
            key = self._authority.signing_key(issuer, context.deadline)
            return sign(key, prepared.tbs)
        except AppError as error:
            if key is None or (isinstance(error, BackendError) and error.nothing_signed):
                with suppress(AppError):  # then it is the sweeper's
                    self._ledger.commit(withdraw(reserved.id, context), Deadline.after(WITHDRAWING_TIME))
            raise

    def _commit(self, action: str, decide: Callable[[Transaction], Certificate], context: Context) -> Certificate:
        return self._ledger.commit(Request(action, context, decide), context.deadline).value


def _draft(issuer: IssuerMaterial, key: ec.EllipticCurvePublicKey, serial_number: int, now: datetime) -> Draft:
    not_before = max((now - BACKDATING).replace(microsecond=0), issuer.not_before)
    not_after = min((now + LIFE).replace(microsecond=0), issuer.not_after)
    names = issuer.name.get_attributes_for_oid(NameOID.COMMON_NAME)
    of_issuer = str(names[0].value) if names else issuer.id
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    return draft(
        serial_number=serial_number,
        issuer=issuer.record.subject_der,
        validity=Validity(not_before, not_after),
        subject=subject((NameOID.COMMON_NAME, f"OCSP, {cut(of_issuer, 58)}")),
        public_key=key,
        extensions=(
            encoded_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True),
            encoded_extension(usage, critical=True),
            encoded_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])),
            encoded_extension(x509.OCSPNoCheck()),
            encoded_extension(x509.SubjectKeyIdentifier.from_public_key(key)),
            encoded_extension(x509.AuthorityKeyIdentifier(issuer.key_identifier.digest, None, None)),
        ),
        issuer_key=issuer.public_key,
    )


def _record(prepared: Draft, issuer: IssuerMaterial, context: Context) -> Certificate:
    """As `pending`; its id and its times as a record come with the reservation."""
    certificate, nowhere = prepared.certificate, issuer.not_before
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return Certificate(
        id=0,
        kind=CertificateKind.OCSP_RESPONDER,
        status=CertificateStatus.PENDING,
        issuer_id=issuer.id,
        issuer=issuer.record.subject,
        serial_number=serial_number_text(certificate.serial_number),
        subject=rfc4514(certificate.subject),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key_type=KeyType.P_256,
        key_size=KeyType.P_256.bits,
        key_origin=KeyOrigin.SERVER,
        public_key_sha256=spki_sha256(key),
        requester_kind=context.actor.kind,
        requester_id=context.actor.id,
        requester_name=context.actor.name,
        tbs_sha256=prepared.sha256,
        tbs=prepared.tbs,
        sign_before=nowhere,
        created_at=nowhere,
        updated_at=nowhere,
    )


def _reserve(certificate: Certificate) -> Callable[[Transaction], Certificate]:
    def decide(tx: Transaction) -> Certificate:
        issuer = tx.get(Issuer, issuer_key(certificate.issuer_id))
        if issuer is None or issuer.status not in _SIGNING:
            raise IssuerChanged
        if tx.get(SerialNumber, serial_number_key(certificate.serial_number)) is not None:
            raise SerialNumberTaken
        tx.put(_counted(tx, certificate.issuer_id))
        reserved = replace(
            certificate,
            id=tx.next_id("certificate"),
            created_at=tx.time,
            updated_at=tx.time,
            sign_before=tx.time + SIGNING_TIME,
        )
        for row in rows_of(reserved):
            tx.put(row)
        return reserved

    return decide


def _counted(tx: Transaction, issuer_id: str) -> OcspQuota:
    """One more. Raises OcspQuotaExceeded."""
    quota = tx.get(OcspQuota, ocsp_quota_key(issuer_id))
    if quota is None or tx.time >= quota.since + QUOTA_PERIOD:
        return OcspQuota(issuer_id=issuer_id, since=tx.time, count=1)
    if quota.count >= QUOTA:
        raise OcspQuotaExceeded
    return replace(quota, count=quota.count + 1)


def _confirm(certificate_id: int, encoded: bytes) -> Callable[[Transaction], Certificate]:
    def decide(tx: Transaction) -> Certificate:
        current = tx.get(Certificate, certificate_key(certificate_id))
        if current is None or current.status is not CertificateStatus.PENDING:
            raise IssuanceOvertaken
        tx.delete(PendingCertificate, pending_certificate_key(certificate_id))
        issued = replace(
            current,
            status=CertificateStatus.ISSUED,
            tbs=None,
            der=encoded,
            fingerprint=hashlib.sha256(encoded).hexdigest(),
            issued_at=tx.time,
            updated_at=tx.time,
        )
        tx.put(issued)
        return issued

    return decide
