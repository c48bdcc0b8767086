"""What a caller may do: the app roles of Entra tokens and the abilities of API tokens, by the same names."""

from collections.abc import Iterable
from enum import StrEnum


class Permission(StrEnum):
    MANAGE = "manage-entra-integration"
    """Everything."""
    READ = "entra:read"
    SYNC = "entra:sync"
    VALIDATE = "entra:validate"
    ISSUE = "pki:issue"
    REVOKE = "pki:revoke"


EVERYTHING = frozenset(Permission)
_BY_NAME = {str(permission): permission for permission in Permission}


def permissions_of(names: Iterable[str]) -> frozenset[Permission]:
    """The permissions that these names grant; names that are none are passed over. Names are compared exactly."""
    granted = frozenset(_BY_NAME[name] for name in names if name in _BY_NAME)
    return EVERYTHING if Permission.MANAGE in granted else granted
