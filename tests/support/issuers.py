"""Issuers without a directory: for tests of what certificates look like."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from cryptography import x509

from shared.directory.records.certificate import CertificateType
from shared.directory.records.issuer import Issuer, IssuerStatus
from shared.directory.records.user import User
from shared.pki.authority.issuer_certificate import IssuerPlan, issuer_id, self_signed_draft
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.issuance.holder import Holder, security_identifier
from shared.pki.issuance.mail import certifiable_address
from shared.pki.issuance.policy import IssuancePolicy
from shared.pki.issuance.profiles import PROFILES
from shared.pki.issuance.user_certificate import UserCertificate, validity
from shared.pki.keys import KeyType, PrivateKey, PublicKey, generate_key, sign, spki_der
from shared.pki.tbs import assemble, raw_subject

NOW = datetime(2030, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


@cache
def key_of(key_type: KeyType, which: str = "") -> PrivateKey:
    """The same key for the same arguments: making RSA keys takes long."""
    return generate_key(key_type)


@dataclass(frozen=True)
class LooseIssuer:
    """A self-signed issuer with its private key at hand."""

    key: PrivateKey
    material: IssuerMaterial

    @classmethod
    def make(cls, key_type: KeyType, name: str = "Contoso Users CA", now: datetime = NOW) -> "LooseIssuer":
        key = key_of(key_type, "issuer")
        plan = IssuerPlan(common_name=name, organization="Contoso Ltd", country="SE", key_type=key_type)
        tbs = self_signed_draft(plan, key.public_key(), 0x5EED << 120, now).tbs
        der = assemble(tbs, key.public_key(), sign(key, tbs))
        certificate = x509.load_der_x509_certificate(der)
        record = Issuer(
            id=issuer_id(key.public_key()),
            status=IssuerStatus.ACTIVE,
            subject=certificate.subject.rfc4514_string(),
            subject_der=raw_subject(certificate.tbs_certificate_bytes),
            key_type=key_type,
            public_key=spki_der(key.public_key()),
            backend="software",
            key_reference="issuer.pem#0",
            der=der,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            created_at=now,
            updated_at=now,
        )
        return cls(key, IssuerMaterial.of(record))

    def intend(
        self,
        user: User,
        certificate_type: CertificateType,
        public_key: PublicKey,
        policy: IssuancePolicy,
        *,
        days: int = 365,
        serial_number: int = 0x7ABCDEF << 130,
        now: datetime = NOW,
    ) -> UserCertificate:
        profile = PROFILES[certificate_type]
        mail = certifiable_address(user, policy, _nobody_else) if profile.needs_mail else None
        return UserCertificate(
            profile=profile,
            holder=Holder(user, mail),
            public_key=public_key,
            issuer=self.material,
            serial_number=serial_number,
            validity=validity(now, days, self.material),
            security_identifier=security_identifier(user)[0] if profile.security_identifier else None,
        )

    def sign(self, tbs: bytes) -> bytes:
        return assemble(tbs, self.material.public_key, sign(self.key, tbs))


def _nobody_else(address: str, uncommitted: Iterable[User] = ()) -> frozenset[int]:
    return frozenset()
