"""`certificateUserIds`: what to write to an Entra user so that Entra accepts the certificate for its sign-in.

https://learn.microsoft.com/entra/identity/authentication/concept-certificate-based-authentication-certificateuserids
"""

import hashlib
from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

MAX_LENGTH = 1024
"""Characters in one value; Entra refuses longer ones, so they are left out."""

TO_BE_VERIFIED = frozenset({"sha1_public_key"})
"""Forms whose exact input Microsoft does not document: try them in the tenant before relying on them."""

_SHORT_NAMES: Mapping[ObjectIdentifier, str] = {
    NameOID.COMMON_NAME: "CN",
    NameOID.SURNAME: "SN",
    NameOID.SERIAL_NUMBER: "SERIALNUMBER",
    NameOID.COUNTRY_NAME: "C",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "S",
    NameOID.STREET_ADDRESS: "STREET",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.TITLE: "T",
    NameOID.GIVEN_NAME: "G",
    NameOID.INITIALS: "I",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "E",
}
"""Windows' names of attributes (https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certnametostrw)."""


def certificate_user_ids(certificate: x509.Certificate, user_principal_name: str | None) -> dict[str, str]:
    """The value of each form that this certificate has, by the form's name; strong bindings and weak ones alike.

    `user_principal_name`: as in the certificate; None where it names none.
    """
    issuer, subject = _name(certificate.issuer), _name(certificate.subject)
    key_identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    values = {
        "principal_name": f"X509:<PN>{user_principal_name}" if user_principal_name else None,
        "subject_key_identifier": f"X509:<SKI>{key_identifier.hex().upper()}",
        "sha1_public_key": f"X509:<SHA1-PUKEY>{_public_key_sha1(certificate).upper()}",
        "issuer_and_serial_number": f"X509:<I>{issuer}<SR>{serial_number_text(certificate.serial_number)}",
        "issuer_and_subject": f"X509:<I>{issuer}<S>{subject}" if subject else None,
    }
    return {form: value for form, value in values.items() if value is not None and len(value) <= MAX_LENGTH}


def serial_number_text(serial_number: int) -> str:
    """Lower-case hex with an even number of digits, in the order of the encoding: only on-premises AD reverses it."""
    return serial_number.to_bytes((serial_number.bit_length() + 7) // 8, "big").hex()


def _name(name: x509.Name) -> str:
    """The RDNs in the order of the encoding, joined by `,` without a space."""
    return ",".join(
        "+".join(
            f"{_SHORT_NAMES.get(attribute.oid, attribute.oid.dotted_string)}={_quoted(attribute)}" for attribute in rdn
        )
        for rdn in name.rdns
    )


def _quoted(attribute: x509.NameAttribute[str | bytes]) -> str:
    """As Windows prints it: in quotation marks where it could be misread, those inside doubled."""
    text = str(attribute.value)
    if text != text.strip() or any(special in text for special in ',+="\n<>#;'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _public_key_sha1(certificate: x509.Certificate) -> str:
    """SHA-1 of the subjectPublicKey's bits: what RFC 5280 4.2.1.2 (1) makes key identifiers of."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        bits = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    else:
        bits = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return hashlib.sha1(bits, usedforsecurity=False).hexdigest()
