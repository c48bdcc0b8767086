"""The vault's refusals, in Key Vault's words.

Shape: https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses and
.../rest-error-codes.
"""

from collections.abc import Mapping
from typing import Any

RECOVERY_HINT = (
    "If you recently deleted this key you may be able to recover it using the correct recovery command. "
    "For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
)


class VaultError(Exception):
    """An answer other than success: status, code, message, and perhaps an inner code and headers."""

    def __init__(
        self, status: int, code: str, message: str, inner: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.inner = status, code, message, inner
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return {"error": error | ({"innererror": {"code": self.inner}} if self.inner else {})}


def bad_parameter(message: str) -> VaultError:
    return VaultError(400, "BadParameter", message)


def forbidden(message: str, inner: str) -> VaultError:
    return VaultError(403, "Forbidden", message, inner)


def key_not_found(name: str) -> VaultError:
    message = f"A key with (name/id) {name} was not found in this key vault. {RECOVERY_HINT}"
    return VaultError(404, "KeyNotFound", message)


def deleted_key_not_found(name: str) -> VaultError:
    return VaultError(404, "KeyNotFound", f"Deleted Key not found: {name}")


def deleted_but_recoverable(name: str) -> VaultError:
    message = (
        f"Key {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, "
        "the key can only be recovered or purged."
    )
    return VaultError(409, "Conflict", message, "ObjectIsDeletedButRecoverable")


def not_emulated(what: str) -> VaultError:
    """Something that Key Vault can do and this emulator cannot: loud, so that nobody takes it for its answer."""
    return VaultError(501, "NotEmulated", f"Key Vault supports {what}; this emulator does not.")
