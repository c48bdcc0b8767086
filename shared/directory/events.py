"""What the directory tells other packages about, so that it need not know them."""

from collections.abc import Callable

from shared.directory.records.user import User
from shared.directory.transaction import Transaction

UserObserver = Callable[[Transaction, User | None, User], None]
"""Called inside the decision that changes a user, with the user before (None: new) and after.

What it puts into the transaction is committed together with the user, or not at all. It may run again after a lost
race, so it must have no other effect.
"""
