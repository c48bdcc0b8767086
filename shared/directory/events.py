"""What the directory tells other packages about, so that it need not know them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.directory.records.certificate import RevocationReason
from shared.directory.records.user import User
from shared.directory.transaction import Transaction


@dataclass(frozen=True, slots=True)
class CertificateLoss:
    """A certificate that a change of its user takes away.

    Attributes:
        reason: certificateHold may be lifted, the others are for good.
        usable: whether it was neither on hold nor revoked before.
    """

    certificate_id: int
    serial_number: str
    subject: str
    reason: RevocationReason
    usable: bool


UserObserver = Callable[[Transaction, User | None, User], Sequence[CertificateLoss]]
"""Called inside the decision that changes a user, with the user before (None: new) and after; says what it takes.

What it puts into the transaction is committed together with the user, or not at all. It may run again after a lost
race, and its changes may be thrown away, so it must have no other effect.
"""
