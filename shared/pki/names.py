"""How a user's names become parts of a certificate: lengths, character sets and encodings."""

import unicodedata

import idna
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from shared.pki import der

MAX_NAME_BYTES = 64
"""RFC 5280 appendix A.1 ub-common-name is 64 characters; many implementations count UTF-8 octets."""

USER_PRINCIPAL_NAME = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""szOID_NT_PRINCIPAL_NAME, an otherName of type UTF8String
(https://learn.microsoft.com/windows/win32/seccrypto/othername)."""
SMTP_UTF8_MAILBOX = ObjectIdentifier("1.3.6.1.5.5.7.8.9")
"""id-on-SmtpUTF8Mailbox, RFC 9598 3: only for addresses whose local part is not ASCII."""

# They turn the reading direction around: a name could read as another one in every certificate viewer.
_DIRECTION_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class UnusableAddress(ValueError):
    """A mail address that a certificate cannot hold."""


def clean(text: str) -> str:
    """The text in NFC, in one line, without control characters, direction overrides and unpaired surrogates."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = "".join(
        " " if character.isspace() else character
        for character in unicodedata.normalize("NFC", text)
        if character.isspace() or (unicodedata.category(character) not in ("Cc", "Cs"))
    )
    return " ".join("".join(c for c in kept if c not in _DIRECTION_OVERRIDES).split())


def cut(text: str, limit: int = MAX_NAME_BYTES) -> str:
    """At most `limit` UTF-8 octets of the text; no character is split or parted from its combining marks."""
    encoded = text.encode()
    if len(encoded) <= limit:
        return text
    kept = encoded[:limit].decode(errors="ignore")
    while kept and unicodedata.combining(text[len(kept)]):
        kept = kept[:-1]
    return kept.rstrip(" \u200d")


def split_address(address: str) -> tuple[str, str]:
    """(local part, domain as A-labels, lower case). Raises UnusableAddress with a sentence."""
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise UnusableAddress(f"{address!r} is not a mail address")
    if any(unicodedata.category(c) in ("Cc", "Cs") or c.isspace() for c in address):
        raise UnusableAddress(f"{address!r} holds spaces or control characters")
    labels = a_labels(domain)
    if len(local.encode()) > 64:  # RFC 5321 4.5.3.1.1
        raise UnusableAddress(f"the part before the @ of {address!r} is longer than 64 octets")
    return local, labels


def a_labels(domain: str) -> str:
    """The domain as it stands in certificates: ASCII, lower case (RFC 5891). Raises UnusableAddress."""
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except idna.IDNAError as error:
        raise UnusableAddress(f"{domain!r} is not a domain name ({error})") from error


def mailbox_name(address: str) -> x509.GeneralName:
    """rfc822Name with the domain as A-labels (RFC 5280 7.5); SmtpUTF8Mailbox where the local part is not ASCII.

    Raises UnusableAddress.
    """
    local, domain = split_address(address)
    if local.isascii():
        return x509.RFC822Name(f"{local}@{domain}")
    return x509.OtherName(SMTP_UTF8_MAILBOX, der.utf8_string(f"{unicodedata.normalize('NFC', local)}@{domain}"))


def principal_name(user_principal_name: str) -> x509.OtherName:
    return x509.OtherName(USER_PRINCIPAL_NAME, der.utf8_string(user_principal_name))


def subject(*attributes: tuple[ObjectIdentifier, str | None]) -> x509.Name:
    """One RDN for each attribute that has a value, in this order."""
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes if value])


def rfc4514(name: x509.Name) -> str:
    """The name as text, most specific part first, with the attribute names that people know."""
    return name.rfc4514_string(
        {NameOID.SERIAL_NUMBER: "serialNumber", NameOID.GIVEN_NAME: "givenName", NameOID.SURNAME: "SN"}
    )
