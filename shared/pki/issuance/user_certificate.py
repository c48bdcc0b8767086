"""A user's certificate as a whole: profile, holder, key, issuer and validity brought together, nothing signed yet."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier

from shared.errors import FieldError
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.issuance.holder import Holder
from shared.pki.issuance.policy import IssuancePolicy
from shared.pki.issuance.profiles import Profile, security_identifier_extension
from shared.pki.keys import PublicKey
from shared.pki.tbs import Draft, Validity, draft, encoded_extension
from shared.pki.urls import ca_certificate_url, crl_url, ocsp_url

BACKDATING = timedelta(minutes=10)
"""Clients' clocks run late; a certificate used at once must not be from their future."""


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


@dataclass(frozen=True)
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
        """The bytes to sign, not linted yet."""
        subject = self.profile.subject(self.holder)
        return draft(
            serial_number=self.serial_number,
            issuer=self.issuer.record.subject_der,
            validity=self.validity,
            subject=subject,
            public_key=self.public_key,
            extensions=(
                *_of_profile(self.profile, isinstance(self.public_key, rsa.RSAPublicKey)),
                encoded_extension(self.alternative_names, critical=not list(subject)),  # RFC 5280 4.2.1.6
                encoded_extension(self.key_identifier),
                *_of_issuer(self.issuer.key_identifier.digest, self.issuer.id, policy.policy_oids, policy.public_url),
                *self._security_identifier(),
            ),
            issuer_key=self.issuer.public_key,
        )

    @property
    def certified_principal_name(self) -> str | None:
        return self.holder.user.user_principal_name if self.profile.names_principal else None

    @property
    def certified_mail(self) -> str | None:
        return self.holder.mail if self.profile.names_mail else None

    @cached_property
    def key_identifier(self) -> x509.SubjectKeyIdentifier:
        return x509.SubjectKeyIdentifier.from_public_key(self.public_key)

    @cached_property
    def alternative_names(self) -> x509.SubjectAlternativeName:
        given = (give(self.holder) for give in self.profile.alternative_names)
        return x509.SubjectAlternativeName([name for name in given if name is not None])

    def _security_identifier(self) -> tuple[bytes, ...]:
        sid = self.security_identifier
        return () if sid is None else (encoded_extension(security_identifier_extension(sid)),)


@lru_cache
def _of_profile(profile: Profile, is_rsa: bool) -> tuple[bytes, ...]:
    usage = profile.rsa_key_usage if is_rsa else profile.ec_key_usage
    return (
        encoded_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True),
        encoded_extension(usage.extension, critical=True),
        encoded_extension(x509.ExtendedKeyUsage([profile.extended_key_usage])),
    )


@lru_cache
def _of_issuer(
    key_identifier: bytes, issuer_id: str, policy_oids: tuple[str, ...], public_url: str | None
) -> tuple[bytes, ...]:
    issuer_key = x509.AuthorityKeyIdentifier(key_identifier, None, None)  # a copy of the bytes in its certificate
    policies = [x509.PolicyInformation(ObjectIdentifier(oid), None) for oid in policy_oids]
    named = [x509.CertificatePolicies(policies)] if policies else []
    return tuple(map(encoded_extension, (issuer_key, *named, *_locations(public_url, issuer_id))))


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
