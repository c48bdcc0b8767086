"""A user's certificate as a whole: profile, holder, key, issuer and validity brought together, nothing signed yet."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier

from shared.errors import FieldError
from shared.pki.holder import Holder
from shared.pki.issuer_material import IssuerMaterial
from shared.pki.keys import PublicKey
from shared.pki.policy import IssuancePolicy
from shared.pki.profiles import Profile, security_identifier_extension
from shared.pki.tbs import Draft, draft
from shared.pki.urls import ca_certificate_url, crl_url, ocsp_url

BACKDATING = timedelta(minutes=10)
"""Clients' clocks run late; a certificate used at once must not be from their future."""


@dataclass(frozen=True, slots=True)
class Validity:
    """Both ends included (RFC 5280 4.1.2.5), whole seconds, UTC."""

    not_before: datetime
    not_after: datetime


def validity(now: datetime, days: int, issuer: IssuerMaterial) -> Validity:
    """`days` from ten minutes ago, or from the issuer's own beginning. Raises FieldError beyond the issuer's end."""
    not_before = max((now - BACKDATING).replace(microsecond=0), issuer.not_before)
    not_after = not_before + timedelta(days=days) - timedelta(seconds=1)
    if not_after > issuer.not_after:
        most = max(0, (issuer.not_after - not_before + timedelta(seconds=1)).days)
        raise FieldError(
            "validity_days", f"The CA's own certificate ends before that: at most {most} days are possible now."
        )
    return Validity(not_before, not_after)


@dataclass(frozen=True, slots=True)
class UserCertificate:
    """What a user's certificate is to say. `security_identifier`: the SID to name, None for none."""

    profile: Profile
    holder: Holder
    public_key: PublicKey
    issuer: IssuerMaterial
    serial_number: int
    validity: Validity
    security_identifier: str | None

    def draft(self, policy: IssuancePolicy) -> Draft:
        return draft(self._builder(policy), self.issuer.public_key)

    @property
    def certified_principal_name(self) -> str | None:
        return self.holder.user.user_principal_name if self.profile.names_principal else None

    @property
    def certified_mail(self) -> str | None:
        return self.holder.mail if self.profile.names_mail else None

    def _builder(self, policy: IssuancePolicy) -> x509.CertificateBuilder:
        subject = self.profile.subject(self.holder)
        builder = x509.CertificateBuilder(
            issuer_name=self.issuer.name,
            subject_name=subject,
            public_key=self.public_key,
            serial_number=self.serial_number,
            not_valid_before=self.validity.not_before,
            not_valid_after=self.validity.not_after,
        )
        names = [name for give in self.profile.alternative_names if (name := give(self.holder)) is not None]
        no_name = not list(subject)
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (self._key_usage(), True),
            (x509.ExtendedKeyUsage([self.profile.extended_key_usage]), False),
            (x509.SubjectAlternativeName(names), no_name),  # RFC 5280 4.2.1.6
            (x509.SubjectKeyIdentifier.from_public_key(self.public_key), False),
            (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self.issuer.key_identifier), False),
            *((extension, False) for extension in _policies(policy)),
            *((extension, False) for extension in _locations(policy.public_url, self.issuer.id)),
            *((extension, False) for extension in self._security_identifier()),
        ):
            builder = builder.add_extension(extension, critical)
        return builder

    def _key_usage(self) -> x509.KeyUsage:
        is_rsa = isinstance(self.public_key, rsa.RSAPublicKey)
        return (self.profile.rsa_key_usage if is_rsa else self.profile.ec_key_usage).extension()

    def _security_identifier(self) -> list[x509.ExtensionType]:
        return [security_identifier_extension(self.security_identifier)] if self.security_identifier else []


def _policies(policy: IssuancePolicy) -> list[x509.ExtensionType]:
    policies = [x509.PolicyInformation(ObjectIdentifier(oid), None) for oid in policy.policy_oids]
    return [x509.CertificatePolicies(policies)] if policies else []


def _locations(public_url: str | None, issuer_id: str) -> list[x509.ExtensionType]:
    """Where to find revocation and the issuer's certificate; nothing without a public address."""
    if public_url is None:
        return []
    crl = x509.DistributionPoint([_url(crl_url(public_url, issuer_id))], None, None, None)
    access = [
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, _url(ocsp_url(public_url, issuer_id))),
        x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, _url(ca_certificate_url(public_url, issuer_id))
        ),
    ]
    return [x509.CRLDistributionPoints([crl]), x509.AuthorityInformationAccess(access)]


def _url(url: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(url)
