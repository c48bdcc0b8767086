"""Azure role-based access control, as far as keys go: which data actions each built-in role allows.

Source: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/security.
"""

import threading
from collections import defaultdict

from local.key_vault.bearer import Principal
from local.key_vault.errors import forbidden

OFFICER = "Key Vault Crypto Officer"
USER = "Key Vault Crypto User"
READER = "Key Vault Reader"

ACTIONS: dict[str, frozenset[str]] = {
    OFFICER: frozenset(
        {
            "create/action",
            "delete",
            "purge/action",
            "read",
            "recover/action",
            "rotate/action",
            "sign/action",
            "update/action",
            "verify/action",
        }
    ),
    USER: frozenset({"read", "update/action", "sign/action", "verify/action"}),
    READER: frozenset({"read"}),
}


class RoleAssignments:
    """Roles by the object id of the principal."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._roles: defaultdict[str, set[str]] = defaultdict(set)

    def assign(self, object_id: str, roles: list[str]) -> None:
        """Replaces a principal's roles. Raises KeyError for a role that this vault does not know."""
        for role in roles:
            _ = ACTIONS[role]
        with self._lock:
            self._roles[object_id] = set(roles)

    def require(self, principal: Principal, action: str, vault: str) -> None:
        """Raises VaultError 403 unless one of the principal's roles allows the data action."""
        with self._lock:
            roles = set(self._roles[principal.object_id])
        if not any(action in ACTIONS[role] for role in roles):
            raise forbidden(
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or "
                "role definitions were changed recently, please observe propagation time.\r\n"
                f"Caller: appid={principal.client_id};oid={principal.object_id};iss={principal.issuer}\r\n"
                f"Action: 'Microsoft.KeyVault/vaults/keys/{action}'\r\n"
                f"Resource: '/subscriptions/local/resourcegroups/local/providers/microsoft.keyvault/vaults/{vault}'\r\n"
                f"Assignment: (not found)\r\nVault: {vault};location=laptop\r\n",
                "ForbiddenByRbac",
            )
