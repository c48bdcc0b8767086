"""Which mail address of a user may stand in a certificate."""

from collections.abc import Callable

from shared.directory.records.user import User
from shared.errors import FieldError
from shared.pki.holder import certificate_form, primary_address
from shared.pki.names import UnusableAddress, a_labels
from shared.pki.policy import IssuancePolicy

MailOwners = Callable[[str], frozenset[int]]
"""Address → the local ids of the live users who have it, in whatever case."""


def certifiable_address(user: User, policy: IssuancePolicy, owners: MailOwners) -> str:
    """The user's address, as it may stand in a certificate. Raises FieldError with a sentence where there is none."""
    address = primary_address(user)
    if address is None:
        raise _refused(f"{user.name} has no mail address in Entra ID.")
    try:
        form = certificate_form(address)
    except UnusableAddress as error:
        raise _refused(f"The mail address cannot stand in a certificate: {error}.") from error
    domain = form.rpartition("@")[2]
    if policy.mail_domains and domain not in map(a_labels, policy.mail_domains):
        raise _refused(f"Mail addresses of the domain {domain} are not certified here (PKI_MAIL_DOMAINS).")
    if others := owners(address) - {user.id}:
        raise _refused(f"The mail address {address} is also that of the user {min(others)}.")
    return form


def _refused(sentence: str) -> FieldError:
    return FieldError("user_id", sentence)
