"""Which mail address of a user may stand in a certificate."""

from collections.abc import Iterable
from typing import Protocol

from shared.directory.records.certificate import Certificate
from shared.directory.records.user import User, user_key
from shared.directory.transaction import Transaction
from shared.errors import FieldError
from shared.pki.issuance.holder import addresses_of, certificate_form, primary_address
from shared.pki.issuance.policy import IssuancePolicy
from shared.pki.names import UnusableAddress, a_labels


class MailOwners(Protocol):
    def __call__(self, address: str, uncommitted: Iterable[User] = ()) -> frozenset[int]:
        """The local ids of the live users who have the address, in whatever case, as of now.

        `uncommitted`: users as they are about to be; they count instead of what the directory says of them.
        """


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
    _check_alone(address, user.id, owners(address))
    return form


def check_address(tx: Transaction, certificate: Certificate, owners: MailOwners) -> None:
    """Inside the transaction that reserves it: nobody else has the address that the certificate vouches for.

    The index is asked as of this moment. If it knows more than the transaction's snapshot, the head has moved, and the
    commit that asserts it fails and is decided again; what it cannot know is what the same commit is about to write.
    Raises: FieldError.
    """
    user = tx.get(User, user_key(certificate.user_id or 0))
    for address in addresses_of(certificate, user) if user is not None else ():
        _check_alone(address, certificate.user_id, owners(address, tx.uncommitted(User)))


def _check_alone(address: str, user_id: int | None, owners: frozenset[int]) -> None:
    if others := owners - {user_id}:
        raise _refused(f"The mail address {address} is also that of the user {min(others)}.")


def _refused(sentence: str) -> FieldError:
    return FieldError("user_id", sentence)
