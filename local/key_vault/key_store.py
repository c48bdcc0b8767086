"""The keys of one vault: names, versions, attributes, and the recycle bin.

Source: https://learn.microsoft.com/azure/key-vault/keys/about-keys-details.
"""

import secrets
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from local.entra.signing_keys import base64url
from local.key_vault.errors import bad_parameter, deleted_but_recoverable, deleted_key_not_found, key_not_found

CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
RSA_SIZES = (2048, 3072, 4096)
RSA_OPERATIONS = ("encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey")
EC_OPERATIONS = ("sign", "verify")
RETENTION = timedelta(days=90)
RECOVERY = {"recoveryLevel": "Recoverable+Purgeable", "recoverableDays": RETENTION.days}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class Attributes:
    """Times are seconds since 1970."""

    enabled: bool
    created: int
    updated: int
    not_before: int | None = None
    expires: int | None = None

    def to_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"enabled": self.enabled, "created": self.created, "updated": self.updated}
        shown |= {"nbf": self.not_before} if self.not_before is not None else {}
        shown |= {"exp": self.expires} if self.expires is not None else {}
        return shown | RECOVERY | {"exportable": False}


@dataclass
class KeyVersion:
    name: str
    version: str
    key_type: str  # RSA, RSA-HSM, EC or EC-HSM
    private: PrivateKey
    operations: tuple[str, ...]
    attributes: Attributes
    tags: dict[str, str]

    def path(self) -> str:
        return f"/keys/{self.name}/{self.version}"

    def bundle(self, vault_url: str) -> dict[str, Any]:
        jwk = {"kid": vault_url + self.path(), "kty": self.key_type, "key_ops": list(self.operations)}
        return {"key": jwk | public_members(self.private), "attributes": self.attributes.to_json(), "tags": self.tags}


def public_members(private: PrivateKey) -> dict[str, str]:
    """The public half as JWK members (RFC 7518, 6.2.1 and 6.3.1)."""
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = private.public_key().public_numbers()
        size = private.key_size // 8
        return {"n": base64url(numbers.n.to_bytes(size)), "e": base64url(numbers.e.to_bytes(3))}
    point = private.public_key().public_numbers()
    size = (private.key_size + 7) // 8
    curve = next(name for name, found in CURVES.items() if isinstance(private.curve, found))
    return {"crv": curve, "x": base64url(point.x.to_bytes(size)), "y": base64url(point.y.to_bytes(size))}


@dataclass
class Key:
    name: str
    versions: list[KeyVersion] = field(default_factory=list)
    deleted_at: int | None = None


class KeyStore:
    """Thread-safe. A deleted key keeps its name until it is purged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, Key] = {}

    def create(
        self,
        name: str,
        key_type: str,
        private: PrivateKey,
        operations: tuple[str, ...],
        attributes: Attributes,
        tags: dict[str, str],
    ) -> KeyVersion:
        """A new key, or a new version of one. Raises VaultError 409 for a deleted name."""
        with self._lock:
            key = self._keys.setdefault(name.lower(), Key(name))
            if key.deleted_at is not None:
                raise deleted_but_recoverable(name)
            made = KeyVersion(key.name, secrets.token_hex(16), key_type, private, operations, attributes, tags)
            key.versions.append(made)
            return made

    def get(self, name: str, version: str = "") -> KeyVersion:
        """A version, the newest when none is named. Raises VaultError 404."""
        with self._lock:
            return self._version(self._live(name), version)

    def versions(self, name: str) -> list[KeyVersion]:
        with self._lock:
            return list(self._live(name).versions)

    def live(self) -> list[KeyVersion]:
        """The newest version of each key."""
        with self._lock:
            return [key.versions[-1] for key in self._keys.values() if key.deleted_at is None]

    def other_version(self, version: KeyVersion) -> KeyVersion | None:
        with self._lock:
            found = [other for other in self._keys[version.name.lower()].versions if other is not version]
        return found[-1] if found else None

    def delete(self, name: str, now: int) -> Key:
        with self._lock:
            key = self._live(name)
            key.deleted_at = now
            return key

    def deleted(self, name: str) -> Key:
        with self._lock:
            return self._deleted(name)

    def all_deleted(self) -> list[Key]:
        with self._lock:
            return [key for key in self._keys.values() if key.deleted_at is not None]

    def recover(self, name: str) -> KeyVersion:
        with self._lock:
            key = self._deleted(name)
            key.deleted_at = None
            return key.versions[-1]

    def purge(self, name: str) -> None:
        with self._lock:
            del self._keys[self._deleted(name).name.lower()]

    def _live(self, name: str) -> Key:
        key = self._keys.get(name.lower())
        if key is None or key.deleted_at is not None:
            raise key_not_found(name)
        return key

    def _deleted(self, name: str) -> Key:
        key = self._keys.get(name.lower())
        if key is None or key.deleted_at is None:
            raise deleted_key_not_found(name)
        return key

    @staticmethod
    def _version(key: Key, version: str) -> KeyVersion:
        if not version:
            return key.versions[-1]
        for found in key.versions:
            if found.version == version.lower():
                return found
        raise key_not_found(f"{key.name}/{version}")


def generate(key_type: str, size: int | None, curve: str | None) -> PrivateKey:
    """Raises VaultError 400 for types, sizes and curves that vaults do not make."""
    if key_type in ("RSA", "RSA-HSM"):
        if size is not None and size not in RSA_SIZES:
            raise bad_parameter(f"Property key_size has invalid value: {size}")
        return rsa.generate_private_key(public_exponent=65537, key_size=size or RSA_SIZES[0])
    if key_type in ("EC", "EC-HSM"):
        found = CURVES.get(curve or "P-256")
        if found is None:
            raise bad_parameter(f"Property crv has invalid value: {curve}")
        return ec.generate_private_key(found())
    raise bad_parameter(f"Property kty has invalid value: {key_type}")
