"""The three kinds of certificate, as data: what each says about its holder and allows its key to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from shared.directory.records.certificate import Certificate, CertificateType, KeyOrigin
from shared.pki import der
from shared.pki.issuance.holder import Holder
from shared.pki.keys import KeyType
from shared.pki.names import MAX_NAME_BYTES, clean, cut, mailbox_name, principal_name, subject

SECURITY_IDENTIFIER_EXTENSION = ObjectIdentifier("1.3.6.1.4.1.311.25.2")
"""szOID_NTDS_CA_SECURITY_EXT: binds a certificate to an on-premises account
(https://support.microsoft.com/topic/kb5014754)."""
SECURITY_IDENTIFIER = ObjectIdentifier("1.3.6.1.4.1.311.25.2.1")
"""szOID_NTDS_OBJECTSID."""


@dataclass(frozen=True, eq=False)
class KeyUsage:
    """RFC 5280 4.2.1.3; the bits not named are never set in a user's certificate."""

    digital_signature: bool = True
    key_encipherment: bool = False
    key_agreement: bool = False

    @cached_property
    def extension(self) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=self.digital_signature,
            content_commitment=False,
            key_encipherment=self.key_encipherment,
            data_encipherment=False,
            key_agreement=self.key_agreement,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )


SIGNATURE = KeyUsage()
SIGNATURE_AND_ENCIPHERMENT = KeyUsage(key_encipherment=True)
SIGNATURE_AND_AGREEMENT = KeyUsage(key_agreement=True)


@dataclass(frozen=True, eq=False)
class Profile:
    """What a type of certificate looks like.

    Attributes:
        subject: the holder's name in this profile; may be empty.
        alternative_names: each gives one name of the holder, or None.
        security_identifier: whether the holder's on-premises SID is named.
        needs_mail: whether a holder without a mail address is refused.
        warnings: what to tell about a certificate that is legal but unwise.
    """

    certificate_type: CertificateType
    rsa_key_usage: KeyUsage
    ec_key_usage: KeyUsage
    extended_key_usage: ObjectIdentifier
    subject: Callable[[Holder], x509.Name]
    alternative_names: tuple[Callable[[Holder], x509.GeneralName | None], ...]
    security_identifier: bool = False
    needs_mail: bool = False
    warnings: tuple[Callable[[Certificate], str | None], ...] = ()

    @property
    def names_principal(self) -> bool:
        return _principal in self.alternative_names

    @property
    def names_mail(self) -> bool:
        return _mailbox in self.alternative_names


def _common_name(holder: Holder) -> str:
    """The display name, or the UPN where nothing is left of it."""
    return cut(clean(holder.user.name)) or cut(clean(holder.user_principal_name))


def _person(holder: Holder) -> x509.Name:
    return subject(
        (NameOID.COMMON_NAME, _common_name(holder)), (NameOID.SERIAL_NUMBER, (holder.user.object_id or "").lower())
    )


def _mailbox_owner(holder: Holder) -> x509.Name:
    """CA/B S/MIME BR 7.1.4.2: a display name needs given name and surname beside it, else only the mailbox may stand.

    A mailbox too long for a CN is left out rather than cut, since the cut address may be somebody else's.
    """
    given_name, surname = clean(holder.user.given_name or ""), clean(holder.user.surname or "")
    if given_name and surname:
        return subject(
            (NameOID.GIVEN_NAME, cut(given_name)),
            (NameOID.SURNAME, cut(surname)),
            (NameOID.COMMON_NAME, _common_name(holder)),
        )
    mail = holder.mail or ""
    return subject((NameOID.COMMON_NAME, mail if len(mail.encode()) <= MAX_NAME_BYTES else None))


def _principal(holder: Holder) -> x509.GeneralName:
    return principal_name(holder.user_principal_name)


def _mailbox(holder: Holder) -> x509.GeneralName | None:
    return mailbox_name(holder.mail) if holder.mail else None


def _longer_than(days: int, reason: str) -> Callable[[Certificate], str | None]:
    def warning(certificate: Certificate) -> str | None:
        valid = (certificate.not_after - certificate.not_before).days + 1
        return f"The certificate is valid for {valid} days; {reason}." if valid > days else None

    return warning


def _p_521_key(certificate: Certificate) -> str | None:
    if certificate.key_type == KeyType.P_521:
        return "The key is on P-521; mail programs need only know P-256 and P-384 (S/MIME BR 6.1.5)."
    return None


def _rsa_key_under_3072(certificate: Certificate) -> str | None:
    if certificate.key_type.startswith("RSA") and certificate.key_size < 3072:
        return (
            f"The key has {certificate.key_size} bits; code signing wants RSA keys of at least 3072 "
            "(Code Signing BR 6.1.5.2)."
        )
    return None


def _key_made_here(certificate: Certificate) -> str | None:
    if certificate.key_origin is KeyOrigin.SERVER:
        return "The key was made by the server; code-signing keys belong in hardware (Code Signing BR 6.2.7.4)."
    return None


CLIENT_AUTH = Profile(
    certificate_type=CertificateType.CLIENT_AUTH,
    rsa_key_usage=SIGNATURE,
    ec_key_usage=SIGNATURE,
    extended_key_usage=ExtendedKeyUsageOID.CLIENT_AUTH,
    subject=_person,
    alternative_names=(_principal, _mailbox),
    security_identifier=True,
)
EMAIL_PROTECTION = Profile(
    certificate_type=CertificateType.EMAIL_PROTECTION,
    rsa_key_usage=SIGNATURE_AND_ENCIPHERMENT,
    ec_key_usage=SIGNATURE_AND_AGREEMENT,
    extended_key_usage=ExtendedKeyUsageOID.EMAIL_PROTECTION,
    subject=_mailbox_owner,
    alternative_names=(_mailbox,),
    needs_mail=True,
    warnings=(_longer_than(825, "mail programs may refuse more than 825 (S/MIME BR 6.3.2)"), _p_521_key),
)
CODE_SIGNING = Profile(
    certificate_type=CertificateType.CODE_SIGNING,
    rsa_key_usage=SIGNATURE,
    ec_key_usage=SIGNATURE,
    extended_key_usage=ExtendedKeyUsageOID.CODE_SIGNING,
    subject=_person,
    alternative_names=(_principal,),
    warnings=(
        _rsa_key_under_3072,
        _longer_than(460, "code signing wants at most 460 (Code Signing BR 6.3.2)"),
        _key_made_here,
    ),
)

PROFILES: Mapping[CertificateType, Profile] = {
    profile.certificate_type: profile for profile in (CLIENT_AUTH, EMAIL_PROTECTION, CODE_SIGNING)
}


def security_identifier_extension(sid: str) -> x509.UnrecognizedExtension:
    """`SEQUENCE { [0] { OID 1.3.6.1.4.1.311.25.2.1, [0] { OCTET STRING of the SID in ASCII } } }`."""
    name = x509.OtherName(SECURITY_IDENTIFIER, der.octet_string(sid.encode("ascii")))
    value = x509.SubjectAlternativeName([name]).public_bytes()  # GeneralNames, as the extension's value is
    return x509.UnrecognizedExtension(SECURITY_IDENTIFIER_EXTENSION, value)
