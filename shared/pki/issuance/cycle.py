"""The issuance cycle: from an order to a certificate, in the order that loses nothing (docs/issuance-cycle.md)."""

import hashlib
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from cryptography.exceptions import InvalidSignature

from shared.context import Clock, Context, Deadline, system_clock
from shared.directory.erasure import is_erased
from shared.directory.errors import UserNotFound
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    CertificateType,
    KeyOrigin,
    certificate_key,
)
from shared.directory.records.idempotency import IdempotentRequest
from shared.directory.records.user import User, user_key
from shared.errors import AppError
from shared.pki.authority.authority import Authority
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.errors import BackendError, SignatureRefused, SigningTooLate
from shared.pki.good_key import check_public_key
from shared.pki.issuance.answer import answer, pack_key
from shared.pki.issuance.csr import key_of_csr
from shared.pki.issuance.holder import Holder, primary_address, security_identifier
from shared.pki.issuance.idempotency import Once, may_be_resumed, was_answered
from shared.pki.issuance.key_delivery import check_password
from shared.pki.issuance.key_maker import KeyMaker
from shared.pki.issuance.lint import lint
from shared.pki.issuance.mail import MailOwners, certifiable_address
from shared.pki.issuance.mail_index import MailIndex
from shared.pki.issuance.order import Issued, Order
from shared.pki.issuance.policy import IssuancePolicy
from shared.pki.issuance.profiles import PROFILES, Profile
from shared.pki.issuance.reservation import SIGNING_TIME, confirm, reserve, resume, withdraw
from shared.pki.issuance.succession import check_not_renewed, check_renewable
from shared.pki.issuance.user_certificate import UserCertificate, validity
from shared.pki.keys import KeyType, PrivateKey, PublicKey, sign, spki_sha256, verify
from shared.pki.names import rfc4514
from shared.pki.tbs import Draft, Validity, assemble
from shared.pki.user_ids import serial_number_text

log = logging.getLogger("entra_pki.issuance")

SERIAL_NUMBER_BITS = 159
"""All random (CA/B BR 7.1 wants 64), positive, at most 20 octets."""

CONFIRMING_TIME = timedelta(seconds=5)
"""What is signed gets this long to be recorded as issued, even if the caller's time is up: else it is lost work."""
WITHDRAWING_TIME = timedelta(seconds=2)
"""What is known to be unsigned gets this long to be taken back; the sweeper gets what is not."""


@dataclass(frozen=True)
class _Eligible:
    """An order found to be in order: who, by whom, how long."""

    user: User
    holder: Holder
    profile: Profile
    issuer: IssuerMaterial
    validity: Validity


@dataclass(frozen=True)
class _Key:
    """The key to certify; `private` is there if it was made here."""

    public: PublicKey
    key_type: KeyType
    private: PrivateKey | None = None

    @property
    def origin(self) -> KeyOrigin:
        return KeyOrigin.CSR if self.private is None else KeyOrigin.SERVER


class Issuance:
    """Issues certificates to users. Safe to share between threads.

    Args:
        mail_owners: who has a mail address; by default an index of the directory kept in memory.
        random_bits: gives that many random bits as an integer.
    """

    def __init__(
        self,
        ledger: Ledger,
        authority: Authority,
        policy: IssuancePolicy,
        *,
        mail_owners: MailOwners | None = None,
        clock: Clock = system_clock,
        random_bits: Callable[[int], int] = secrets.randbits,
        key_maker: KeyMaker | None = None,
    ) -> None:
        self._ledger = ledger
        self._authority = authority
        self._policy = policy
        self._mail_owners = mail_owners or MailIndex(ledger).owners
        self._clock = clock
        self._random_bits = random_bits
        self._key_maker = key_maker or KeyMaker()

    def issue(self, order: Order, context: Context, *, idempotency_key: str | None = None) -> Issued:
        """Issues or raises; whatever it had signed is in the directory.

        With an `idempotency_key`, the same order of the same caller gets the same certificate for 24 hours.

        Raises: UserNotFound, UserNotSynchronized, UserInactive, UserDeleted, UserProtected, UserNotEntitled, FieldError
        (what is wrong with the order itself), CaNotInitialized, BackendThrottled, BackendUnavailable,
        BackendMisconfigured, IssuanceOvertaken, IdempotencyKeyReused, IdempotencyInFlight, OutcomeUnknown; for a
        renewal also CertificateNotFound, NotRenewable, AlreadyRenewed, RenewalInFlight.
        """
        once = Once.of(context.actor, idempotency_key, order) if idempotency_key is not None else None
        if once is not None and (earlier := self._earlier(once, context)) is not None:
            return earlier
        eligible = self._eligible(order, context)
        key = self._key(order, context)
        intended = self._intend(eligible, key)
        draft = lint(intended.draft(self._policy), intended)
        record = replace(self._record(intended, draft, key, context), renews=order.renews)
        pending = self._reserve(record, once, context)
        der = self._verify(self._sign(pending, eligible.issuer, context), pending, eligible.issuer)
        certificate = self._commit(pending, der, context)
        packed = pack_key(key.private, order, certificate, eligible.user, eligible.issuer)
        return answer(certificate, eligible.user, eligible.issuer, packed)

    def check(self, order: Order, key_type: KeyType | None, context: Context) -> None:
        """Raises what `issue` would, as far as can be told before anything is made, recorded or signed.

        `key_type`: of the key that is to be made for the order; None where the order's CSR is there already.
        """
        if key_type is None:
            self._key(order, context)
        else:
            self._policy.check_key(key_type, "key_type")
            order = replace(order, csr=None, key_size=key_type.bits)  # so that policy sees who makes the key
        self._eligible(order, context)

    # --- The steps, one by one ---

    def _eligible(self, order: Order, context: Context) -> _Eligible:
        """Step 1: request, user, issuer and policy."""
        self._policy.check_request(order.certificate_type, order.validity_days, has_csr=order.csr is not None)
        check_password(order)
        self._check_renewed(order)
        user = self._ledger.get(User, user_key(order.user_id))
        if user is None:
            raise UserNotFound(order.user_id)
        self._policy.check_user(user, order.certificate_type)
        issuer = self._authority.active()
        self._authority.signing_key(issuer, context.deadline)
        period = validity(self._clock(), order.validity_days, issuer)
        profile = PROFILES[order.certificate_type]
        return _Eligible(user, Holder(user, self._mail(user, profile)), profile, issuer, period)

    def _check_renewed(self, order: Order) -> None:
        """Step 1, for a renewal: refused here before a key is made, and once more where it is reserved."""
        if order.renews is None:
            return
        now = self._clock()
        old = check_renewable(self._ledger.get(Certificate, certificate_key(order.renews)), now, order.renews)
        if old.renewed_by is not None:
            check_not_renewed(old, self._ledger.get(Certificate, certificate_key(old.renewed_by)), now)

    def _mail(self, user: User, profile: Profile) -> str | None:
        wanted = profile.certificate_type is CertificateType.CLIENT_AUTH and self._policy.client_auth_mail
        if profile.needs_mail or (wanted and primary_address(user) is not None):
            return certifiable_address(user, self._policy, self._mail_owners)
        return None

    def _key(self, order: Order, context: Context) -> _Key:
        """Step 1, for the key: proven by the CSR, or made here."""
        if order.csr is not None:
            public, key_type = key_of_csr(order.csr)
            self._policy.check_key(key_type, "csr")
            return _Key(public, key_type)
        key_type = KeyType(f"RSA-{order.key_size}")
        self._policy.check_key(key_type, "key_size")
        private = self._key_maker.make(key_type, context.deadline)
        check_public_key(private.public_key())
        return _Key(private.public_key(), key_type, private)

    def _intend(self, eligible: _Eligible, key: _Key) -> UserCertificate:
        """Step 2: what the certificate is to say."""
        named = eligible.profile.security_identifier
        return UserCertificate(
            profile=eligible.profile,
            holder=eligible.holder,
            public_key=key.public,
            issuer=eligible.issuer,
            serial_number=self._random_bits(SERIAL_NUMBER_BITS),
            validity=eligible.validity,
            security_identifier=security_identifier(eligible.user)[0] if named else None,
        )

    def _record(self, intended: UserCertificate, draft: Draft, key: _Key, context: Context) -> Certificate:
        """The record to reserve; its id and its times as a record are given in the transaction."""
        now = self._clock()
        return Certificate(
            id=0,
            user_id=intended.holder.user.id,
            certificate_type=intended.profile.certificate_type,
            status=CertificateStatus.PENDING,
            issuer_id=intended.issuer.id,
            issuer=intended.issuer.record.subject,
            serial_number=serial_number_text(intended.serial_number),
            subject=rfc4514(draft.certificate.subject),
            not_before=intended.validity.not_before,
            not_after=intended.validity.not_after,
            key_type=key.key_type,
            key_size=key.key_type.bits,
            key_origin=key.origin,
            public_key_sha256=spki_sha256(key.public),
            user_principal_name=intended.certified_principal_name,
            email=intended.certified_mail,
            security_identifier=intended.security_identifier,
            requester_kind=context.actor.kind,
            requester_id=context.actor.id,
            requester_name=context.actor.name,
            tbs_sha256=draft.sha256,
            tbs=draft.tbs,
            sign_before=now,
            created_at=now,
            updated_at=now,
        )

    def _reserve(self, certificate: Certificate, once: Once | None, context: Context) -> Certificate:
        """Step 3: in the directory before anything is signed."""
        request = reserve(certificate, self._policy, self._mail_owners, once, context)
        return self._ledger.commit(request, context.deadline).value

    def _sign(self, pending: Certificate, issuer: IssuerMaterial, context: Context) -> bytes:
        """Step 4: the one signature, over the reserved bytes, in time or not at all."""
        key: PrivateKey | None = None
        try:
            key = self._signing_key(pending, issuer, context)
            return sign(key, pending.tbs or b"")
        except AppError as error:
            if key is None or (isinstance(error, BackendError) and error.nothing_signed):
                self._withdraw(pending, context)
            raise

    def _signing_key(self, pending: Certificate, issuer: IssuerMaterial, context: Context) -> PrivateKey:
        left = min(pending.sign_before - self._clock(), SIGNING_TIME).total_seconds()
        if left <= 0 or pending.tbs is None:
            raise SigningTooLate
        deadline = Deadline.after(timedelta(seconds=min(left, context.deadline.remaining)))
        return self._authority.signing_key(issuer, deadline)

    def _withdraw(self, pending: Certificate, context: Context) -> None:
        """Takes the reservation back. Where that fails, the sweeper will take it for signed."""
        with suppress(AppError):
            self._ledger.commit(withdraw(pending.id, context), Deadline.after(WITHDRAWING_TIME))

    def _verify(self, signature: bytes, pending: Certificate, issuer: IssuerMaterial) -> bytes:
        """Step 5: the DER certificate, if the signature is the issuer's and the signed bytes are the reserved ones."""
        tbs = pending.tbs or b""
        try:
            verify(issuer.public_key, signature, tbs)
        except (InvalidSignature, ValueError) as error:
            raise SignatureRefused from error
        if hashlib.sha256(tbs).hexdigest() != pending.tbs_sha256:
            raise SignatureRefused
        return assemble(tbs, issuer.public_key, signature)

    def _commit(self, pending: Certificate, der: bytes, context: Context) -> Certificate:
        """Step 6: `issued`, or the reason why it is not handed out although it was signed."""
        fingerprint = hashlib.sha256(der).hexdigest()
        request = confirm(pending, der, fingerprint, self._policy, context)
        deadline = Deadline.after(max(timedelta(seconds=context.deadline.remaining), CONFIRMING_TIME))
        confirmed = self._ledger.commit(request, deadline).value
        if confirmed.refusal is not None:
            log.warning("certificate %d was signed, not handed out: %s", pending.id, confirmed.refusal.code)
            raise confirmed.refusal
        return confirmed.certificate

    # --- A request that came before ---

    def _earlier(self, once: Once, context: Context) -> Issued | None:
        """The answer to a repeated request; None if there was none before, or it came to nothing."""
        now = self._clock()
        before = self._ledger.get(IdempotentRequest, once.row_key)
        if before is None or not once.applies(before, now):
            return None
        certificate = self._ledger.get(Certificate, certificate_key(before.certificate_id))
        if certificate is None:
            return None
        if was_answered(certificate):
            return self._replay(certificate)
        return self._resume(certificate, context) if may_be_resumed(certificate, now) else None

    def _replay(self, certificate: Certificate) -> Issued:
        return replace(self._public_answer(certificate), replayed=True)

    def _resume(self, pending: Certificate, context: Context) -> Issued:
        """Signs the bytes of a reservation that its process left behind; the requester has the key."""
        issuer = self._authority.issuer(pending.issuer_id)
        self._authority.signing_key(issuer, context.deadline)
        leased = self._ledger.commit(resume(pending, self._policy, context), context.deadline).value
        if was_answered(leased):
            return self._replay(leased)
        der = self._verify(self._sign(leased, issuer, context), leased, issuer)
        return self._public_answer(self._commit(leased, der, context))

    def _public_answer(self, certificate: Certificate) -> Issued:
        """The answer without a key, from what the directory holds."""
        user_id = certificate.user_id or 0
        user = self._ledger.get(User, user_key(user_id))
        if user is None or is_erased(certificate):
            raise UserNotFound(user_id)
        return answer(certificate, user, self._authority.issuer(certificate.issuer_id))
