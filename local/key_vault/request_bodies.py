"""Reads the bodies of key operations, with Key Vault's complaints about what is wrong with them."""

import json
import re
from dataclasses import dataclass
from typing import Any

from local.entra.tokens import from_base64url
from local.key_vault.errors import bad_parameter
from local.key_vault.key_store import EC_OPERATIONS, RSA_OPERATIONS, Attributes

BASE64URL = re.compile(r"[A-Za-z0-9_-]*={0,2}")
KEY_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")  # about-keys-secrets-certificates, "object-name"


@dataclass(frozen=True)
class CreateRequest:
    key_type: str
    size: int | None
    curve: str | None
    operations: tuple[str, ...]
    attributes: Attributes
    tags: dict[str, str]


def json_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        raise bad_parameter("Request body is not valid JSON.") from None
    if not isinstance(found, dict):
        raise bad_parameter("Request body must be a JSON object.")
    return found


def create_request(body: bytes, now: int) -> CreateRequest:
    document = json_object(body)
    key_type = _typed(document, "kty", str)
    if key_type is None:
        raise bad_parameter("Property kty has invalid value: missing")
    usual = EC_OPERATIONS if key_type.startswith("EC") else RSA_OPERATIONS
    attributes = Attributes(enabled=True, created=now, updated=now)
    apply_attributes(attributes, document.get("attributes"))
    return CreateRequest(
        key_type,
        _typed(document, "key_size", int),
        _typed(document, "crv", str),
        operations(document, usual) or usual,
        attributes,
        tags(document) or {},
    )


def operations(document: dict[str, Any], usual: tuple[str, ...]) -> tuple[str, ...] | None:
    found = _typed(document, "key_ops", list)
    if found is None:
        return None
    for name in found:
        if name not in usual:
            raise bad_parameter(f"Property key_ops has invalid value: {name}")
    return tuple(found)


def tags(document: dict[str, Any]) -> dict[str, str] | None:
    found: dict[str, str] | None = _typed(document, "tags", dict)
    return found


def apply_attributes(attributes: Attributes, changes: Any) -> None:
    """Sets enabled, nbf and exp as far as they are given."""
    if changes is None:
        return
    if not isinstance(changes, dict):
        raise bad_parameter("Property attributes has invalid value.")
    enabled = _typed(changes, "enabled", bool)
    attributes.enabled = attributes.enabled if enabled is None else enabled
    attributes.not_before = _typed(changes, "nbf", int) or attributes.not_before
    attributes.expires = _typed(changes, "exp", int) or attributes.expires
    if attributes.expires and attributes.not_before and attributes.expires <= attributes.not_before:
        raise bad_parameter("Attribute 'exp' has to be later than 'nbf'.")


def signed_members(body: bytes, *names: str) -> tuple[str, list[bytes]]:
    """The algorithm and the Base64url members of a sign or verify request."""
    document = json_object(body)
    algorithm = _typed(document, "alg", str)
    if algorithm is None:
        raise bad_parameter("Property alg has invalid value: missing")
    return algorithm, [_bytes(document, name) for name in names]


def _bytes(document: dict[str, Any], name: str) -> bytes:
    text = _typed(document, name, str)
    if text is None or not BASE64URL.fullmatch(text) or len(text.rstrip("=")) % 4 == 1:
        raise bad_parameter(f"Property {name} has invalid value: it is not Base64url.")
    return from_base64url(text.rstrip("="))


def _typed(document: dict[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise bad_parameter(f"Property {name} has invalid value: {value}")
    return value
