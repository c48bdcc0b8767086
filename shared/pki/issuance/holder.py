"""What a certificate may vouch for of a user, and whether what one vouches for is still so."""

import re
from dataclasses import dataclass

from shared.directory.records.certificate import Certificate
from shared.directory.records.user import User
from shared.pki.names import UnusableAddress, split_address

_DOMAIN_SID = re.compile(r"S-1-5-21-(?:0|[1-9]\d{0,9})-(?:0|[1-9]\d{0,9})-(?:0|[1-9]\d{0,9})-([1-9]\d{0,9})", re.ASCII)
_LOWEST_ACCOUNT_RID = 1000  # below are the built-in accounts and groups: 500 is the domain's Administrator
_MAX_SUBAUTHORITY = 2**32 - 1


_SMTP = "smtp:"
_PRIMARY_SMTP = "SMTP:"


@dataclass(frozen=True, slots=True)
class Holder:
    """The user that a certificate is for, with the mail address chosen for it (None: the certificate has none)."""

    user: User
    mail: str | None

    @property
    def user_principal_name(self) -> str:
        return self.user.user_principal_name or ""


def security_identifier(user: User) -> tuple[str | None, str | None]:
    """(the SID to certify, a warning): the SID only if it is that of an ordinary account of a domain.

    A malformed SID, or that of a built-in account, is left out with a warning: it would log its holder in as that.
    """
    sid = user.on_premises_security_identifier
    if not sid:
        return None, None
    match = _DOMAIN_SID.fullmatch(sid)
    if match is None or any(int(part) > _MAX_SUBAUTHORITY for part in sid.split("-")[4:]):
        return None, "The on-premises security identifier in Entra ID is not that of a domain account; it was left out."
    if int(match[1]) < _LOWEST_ACCOUNT_RID:
        return None, "The on-premises security identifier is that of a built-in account; it was left out."
    return sid, None


def primary_address(user: User) -> str | None:
    """The primary SMTP proxy address; `mail` only where the user has no SMTP proxy addresses at all.

    Exchange keeps proxy addresses unique in the tenant; `mail` of a user without a mailbox is free text
    (https://learn.microsoft.com/graph/api/resources/user#properties).
    """
    smtp = [address for address in user.proxy_addresses if address.lower().startswith(_SMTP)]
    if not smtp:
        return user.mail or None
    return next((address[len(_PRIMARY_SMTP) :] for address in smtp if address.startswith(_PRIMARY_SMTP)), None)


def addresses(user: User) -> frozenset[str]:
    """All that the user receives mail under, in one case: proxy addresses and `mail`."""
    found = {address[len(_SMTP) :] for address in user.proxy_addresses if address.lower().startswith(_SMTP)}
    if user.mail:
        found.add(user.mail)
    return frozenset(address.casefold() for address in found)


def certificate_form(address: str) -> str:
    """The address as it stands in certificates: the domain in A-labels, lower case. Raises UnusableAddress."""
    local, domain = split_address(address)
    return f"{local}@{domain}"


def still_names(certificate: Certificate, user: User) -> bool:
    """Whether UPN, mail address and SID in the certificate are still the user's: else it would name somebody else."""
    upn, sid = certificate.user_principal_name, certificate.security_identifier
    if upn is not None and upn.casefold() != (user.user_principal_name or "").casefold():
        return False
    if sid is not None and sid != user.on_premises_security_identifier:
        return False
    return certificate.email is None or bool(addresses_of(certificate, user))


def addresses_of(certificate: Certificate, user: User) -> frozenset[str]:
    """Those of the user's addresses, folded, that the certificate vouches for: one, but for another way to write it."""
    if certificate.email is None:
        return frozenset()
    certified = certificate.email.casefold()
    return frozenset(address for address in addresses(user) if _folded_form(address) == certified)


def _folded_form(address: str) -> str | None:
    try:
        return certificate_form(address).casefold()
    except UnusableAddress:
        return None
