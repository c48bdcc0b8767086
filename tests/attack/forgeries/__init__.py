"""Every forgery tried, as tables: the row of docs/tokens.md, a name, how it is forged, what must be answered.

The same cases are run against the validator, against the authentication of this API, and over HTTP.
"""

from tests.attack.forgeries import algorithms, identities, keys, origins, signatures, texts, times
from tests.attack.forgeries.case import VALID, Forgery

__all__ = ["FORGERIES", "VALID", "Forgery"]

FORGERIES: tuple[Forgery, ...] = tuple(
    forgery
    for module in (algorithms, keys, signatures, origins, times, texts, identities)
    for forgery in module.forgeries()
)
