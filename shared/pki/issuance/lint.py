"""The CA's own rules for a user's certificate, checked on the finished bytes before anything is signed.

They are written against the parsed certificate, not against the builder: a mistake there must not be able to hide here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtensionOID, NameOID

from shared.pki.errors import LintFailed
from shared.pki.issuance.profiles import SECURITY_IDENTIFIER_EXTENSION
from shared.pki.issuance.user_certificate import UserCertificate
from shared.pki.names import MAX_NAME_BYTES
from shared.pki.tbs import Draft, raw_issuer

E = TypeVar("E", bound=x509.ExtensionType)

MAX_SERIAL_OCTETS = 20  # RFC 5280 4.1.2.2

KNOWN_EXTENSIONS = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
        SECURITY_IDENTIFIER_EXTENSION,
    }
)
_CRITICAL = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE})


@dataclass(frozen=True)
class Specimen:
    """The certificate as parsed, and what it was meant to be."""

    draft: Draft
    intended: UserCertificate

    @cached_property
    def certificate(self) -> x509.Certificate:
        return self.draft.certificate

    @cached_property
    def subject(self) -> x509.Name:
        return self.certificate.subject

    @cached_property
    def key(self) -> CertificatePublicKeyTypes:
        return self.certificate.public_key()

    @cached_property
    def is_rsa(self) -> bool:
        return isinstance(self.key, rsa.RSAPublicKey)

    @cached_property
    def extensions(self) -> tuple[x509.Extension[x509.ExtensionType], ...]:
        return tuple(self.certificate.extensions)

    @cached_property
    def _values(self) -> dict[type, x509.ExtensionType]:
        return {type(extension.value): extension.value for extension in self.extensions}

    def find(self, kind: type[E]) -> E | None:
        """The extension of that class, if there is one."""
        return cast(E | None, self._values.get(kind))

    def value(self, kind: type[E]) -> E:
        """The extension of that class. Raises KeyError if there is none."""
        return cast(E, self._values[kind])


Rule = Callable[[Specimen], bool]


def lint(draft: Draft, intended: UserCertificate) -> Draft:
    """The draft, if it keeps every rule. Raises LintFailed with all those that it breaks."""
    specimen = Specimen(draft, intended)
    findings = []
    for sentence, holds in RULES:
        try:
            if not holds(specimen):
                findings.append(sentence)
        except (ValueError, KeyError, x509.DuplicateExtension):
            findings.append(sentence)
    if findings:
        raise LintFailed(tuple(findings))
    return draft


def _is_version_3(of: Specimen) -> bool:
    return of.certificate.version is x509.Version.v3


def _serial_is_positive_and_short(of: Specimen) -> bool:
    serial = of.certificate.serial_number
    return serial > 0 and serial.bit_length() < MAX_SERIAL_OCTETS * 8


def _serial_is_the_drawn_one(of: Specimen) -> bool:
    return of.certificate.serial_number == of.intended.serial_number


def _times_are_the_intended_whole_seconds(of: Specimen) -> bool:
    begin, end = of.certificate.not_valid_before_utc, of.certificate.not_valid_after_utc
    return (begin, end) == (of.intended.validity.not_before, of.intended.validity.not_after) and begin < end


def _lives_within_its_issuer(of: Specimen) -> bool:
    issuer = of.intended.issuer
    return (
        issuer.not_before <= of.certificate.not_valid_before_utc
        and of.certificate.not_valid_after_utc <= issuer.not_after
    )


def _names_its_issuer_byte_by_byte(of: Specimen) -> bool:
    return raw_issuer(of.draft.tbs) == of.intended.issuer.record.subject_der


def _points_to_its_issuers_key(of: Specimen) -> bool:
    value = of.value(x509.AuthorityKeyIdentifier)
    expected = (of.intended.issuer.key_identifier.digest, None, None)
    return (value.key_identifier, value.authority_cert_issuer, value.authority_cert_serial_number) == expected


def _holds_the_ordered_key(of: Specimen) -> bool:
    return of.key == of.intended.public_key


def _identifies_its_key(of: Specimen) -> bool:
    return of.value(x509.SubjectKeyIdentifier) == of.intended.key_identifier


def _is_no_ca(of: Specimen) -> bool:
    found = of.value(x509.BasicConstraints)
    return not found.ca and found.path_length is None


def _is_used_as_the_profile_says(of: Specimen) -> bool:
    profile = of.intended.profile
    expected = profile.rsa_key_usage if of.is_rsa else profile.ec_key_usage
    return of.value(x509.KeyUsage) == expected.extension


def _enciphers_keys_with_rsa_only(of: Specimen) -> bool:
    usage = of.value(x509.KeyUsage)
    return not (usage.key_agreement if of.is_rsa else usage.key_encipherment or usage.data_encipherment)


def _has_the_one_extended_usage(of: Specimen) -> bool:
    found = of.value(x509.ExtendedKeyUsage)
    return list(found) == [of.intended.profile.extended_key_usage]


def _has_only_known_extensions(of: Specimen) -> bool:
    return all(extension.oid in KNOWN_EXTENSIONS for extension in of.extensions)


def _has_the_right_extensions_critical(of: Specimen) -> bool:
    nameless = not list(of.subject)
    critical = _CRITICAL | ({ExtensionOID.SUBJECT_ALTERNATIVE_NAME} if nameless else set())
    return {extension.oid for extension in of.extensions if extension.critical} == critical


def _names_are_short(of: Specimen) -> bool:
    return all(0 < len(str(attribute.value).encode()) <= MAX_NAME_BYTES for attribute in of.subject)


def _has_one_common_name_at_most(of: Specimen) -> bool:
    return len(of.subject.get_attributes_for_oid(NameOID.COMMON_NAME)) <= 1


def _alternative_names_are_the_holders(of: Specimen) -> bool:
    found = of.value(x509.SubjectAlternativeName)
    return len(found) > 0 and found == of.intended.alternative_names


def _addresses_are_ascii(of: Specimen) -> bool:
    names = of.value(x509.SubjectAlternativeName)
    return all(address.isascii() for address in names.get_values_for_type(x509.RFC822Name))


def _locations_are_plain_http(of: Specimen) -> bool:
    """Fetching them over TLS would need the very checks that they serve (RFC 5280 8)."""
    points = of.find(x509.CRLDistributionPoints) or ()
    access = of.find(x509.AuthorityInformationAccess) or ()
    urls = [name.value for point in points for name in point.full_name or ()]
    urls += [description.access_location.value for description in access]
    return all(url.startswith("http://") and url.isascii() for url in urls)


def _security_identifier_is_for_logon_only(of: Specimen) -> bool:
    present = any(extension.oid == SECURITY_IDENTIFIER_EXTENSION for extension in of.extensions)
    expected = of.intended.security_identifier is not None
    return present == expected and (of.intended.profile.security_identifier or not present)


RULES: tuple[tuple[str, Rule], ...] = (
    ("the version is not 3", _is_version_3),
    ("the serial number is not positive or has more than 20 octets", _serial_is_positive_and_short),
    ("the serial number is not the reserved one", _serial_is_the_drawn_one),
    ("the validity is not the ordered one in whole seconds", _times_are_the_intended_whole_seconds),
    ("the certificate outlives its issuer or began before it", _lives_within_its_issuer),
    ("the issuer's name is not byte by byte the issuer's subject", _names_its_issuer_byte_by_byte),
    ("the authority key identifier is not the issuer's subject key identifier", _points_to_its_issuers_key),
    ("the public key is not the ordered one", _holds_the_ordered_key),
    ("the subject key identifier is not that of the key", _identifies_its_key),
    ("the basic constraints are not those of an end entity", _is_no_ca),
    ("the key usage is not the profile's", _is_used_as_the_profile_says),
    ("the key usage does not fit the kind of key", _enciphers_keys_with_rsa_only),
    ("the extended key usage is not exactly the profile's", _has_the_one_extended_usage),
    ("there is an extension that no profile has", _has_only_known_extensions),
    ("an extension is critical that must not be, or the other way round", _has_the_right_extensions_critical),
    ("a name of the subject is empty or longer than 64 octets", _names_are_short),
    ("the subject has several common names", _has_one_common_name_at_most),
    ("the alternative names are not the holder's", _alternative_names_are_the_holders),
    ("a mail address is not ASCII", _addresses_are_ascii),
    ("an address of CRL, OCSP or issuer is not plain http", _locations_are_plain_http),
    ("the security identifier is where it does not belong, or missing", _security_identifier_is_for_logon_only),
)
