"""The certificates of issuers: what ours look like, and what one that another CA signed must be like."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from shared.pki.errors import CeremonyRefused
from shared.pki.issuance.user_certificate import BACKDATING
from shared.pki.keys import KeyType, PrivateKey, PublicKey, signature_hash
from shared.pki.names import clean, subject
from shared.pki.tbs import Draft, Validity, draft, encoded_extension, raw_subject

DEFAULT_LIFE = timedelta(days=7305)
"""20 years: leaves of 3650 days fit for the first ten."""


@dataclass(frozen=True, kw_only=True)
class IssuerPlan:
    """What an operator wants of a new issuer. `life` counts for self-signed ones only."""

    common_name: str
    organization: str | None = None
    country: str | None = None
    key_type: KeyType = KeyType.RSA_3072
    life: timedelta = DEFAULT_LIFE

    @property
    def name(self) -> x509.Name:
        """Raises CeremonyRefused for a name that a certificate cannot hold."""
        try:
            return subject(
                (NameOID.COUNTRY_NAME, self.country.upper() if self.country else None),
                (NameOID.ORGANIZATION_NAME, clean(self.organization) if self.organization else None),
                (NameOID.COMMON_NAME, clean(self.common_name)),
            )
        except ValueError as error:
            raise CeremonyRefused(f"The issuer cannot have this name: {error}.") from error


def _extensions(key: PublicKey) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (usage, True),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
    )


def self_signed_draft(plan: IssuerPlan, key: PublicKey, serial_number: int, now: datetime) -> Draft:
    """A root's own certificate before its signature."""
    not_before = (now - BACKDATING).replace(microsecond=0)
    return draft(
        serial_number=serial_number,
        issuer=plan.name.public_bytes(),
        validity=Validity(not_before, not_before + plan.life - timedelta(seconds=1)),
        subject=plan.name,
        public_key=key,
        extensions=[encoded_extension(extension, critical=critical) for extension, critical in _extensions(key)],
        issuer_key=key,
    )


def signing_request(plan: IssuerPlan, key: PrivateKey) -> x509.CertificateSigningRequest:
    """A PKCS#10 request that asks another CA for the same kind of certificate."""
    builder = x509.CertificateSigningRequestBuilder(plan.name)
    for extension, critical in _extensions(key.public_key()):
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, signature_hash(key))


def issuer_id(key: PublicKey) -> str:
    """The first 16 hex digits of the key's identifier: the name of an issuer in URLs, for good."""
    return x509.SubjectKeyIdentifier.from_public_key(key).digest.hex()[:16]


def check_issuer_certificate(certificate: x509.Certificate, now: datetime) -> None:
    """Whether certificates can be issued under it. Raises CeremonyRefused with the first thing that is wrong."""
    for sentence, holds in _ISSUER_RULES:
        if not _holds(holds, certificate):
            raise CeremonyRefused(f"The issuer's certificate cannot be used: {sentence}.")
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise CeremonyRefused("The issuer's certificate is not valid today.")


def ordered_chain(certificate: x509.Certificate, others: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The certificates above, its issuer first, the self-signed root last; each signature checked.

    Raises CeremonyRefused where one is missing.
    """
    chain: list[x509.Certificate] = []
    current = certificate
    while not _signed_by(current, current):
        parent = next((other for other in others if other not in chain and _signed_by(current, other)), None)
        if parent is None:
            raise CeremonyRefused(
                f"The certificate of {current.issuer.rfc4514_string()} is missing: give the chain up to its root."
            )
        chain.append(parent)
        current = parent
    return tuple(chain)


def check_chain(parents: Sequence[x509.Certificate], now: datetime) -> None:
    """Whether all above may have issued what is below them (RFC 5280 6.1). Raises CeremonyRefused."""
    for below, parent in enumerate(parents):
        name = parent.subject.rfc4514_string()
        constraints = _basic_constraints(parent)
        if constraints is None or not constraints.ca:
            raise CeremonyRefused(f"{name} is not the certificate of a CA.")
        if constraints.path_length is not None and constraints.path_length < below:
            raise CeremonyRefused(f"{name} allows only {constraints.path_length} CA certificates below it.")
        if not parent.not_valid_before_utc <= now <= parent.not_valid_after_utc:
            raise CeremonyRefused(f"The certificate of {name} is not valid today.")
    if not parents:
        raise CeremonyRefused("The certificate is self-signed; a request was sent to another CA.")


def _signed_by(certificate: x509.Certificate, parent: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(parent)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _basic_constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None


def _holds(rule: Callable[[x509.Certificate], bool], certificate: x509.Certificate) -> bool:
    try:
        return rule(certificate)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False


def _is_a_ca(certificate: x509.Certificate) -> bool:
    extension = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    return extension.critical and extension.value.ca


def _signs_certificates_and_crls(certificate: x509.Certificate) -> bool:
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    return usage.key_cert_sign and usage.crl_sign


def _has_a_key_identifier(certificate: x509.Certificate) -> bool:
    return len(certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest) > 0


def _name_can_be_repeated(certificate: x509.Certificate) -> bool:
    """Certificates and CRLs must repeat the name byte by byte; an odd encoding could not be written again."""
    return certificate.subject.public_bytes() == raw_subject(certificate.tbs_certificate_bytes)


_ISSUER_RULES: tuple[tuple[str, Callable[[x509.Certificate], bool]], ...] = (
    ("its version is not 3", lambda certificate: certificate.version is x509.Version.v3),
    ("its basic constraints are not critical or do not say CA", _is_a_ca),
    ("its key usage does not include keyCertSign and cRLSign", _signs_certificates_and_crls),
    ("it has no subject key identifier", _has_a_key_identifier),
    ("its subject is empty", lambda certificate: len(list(certificate.subject)) > 0),
    ("its subject is encoded in a way that cannot be repeated", _name_can_be_repeated),
    ("its key is of a type that this CA does not sign with", lambda one: KeyType.of(one.public_key()) is not None),
)
