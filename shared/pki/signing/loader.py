"""From the name of a signing backend to the backend; each one's libraries are imported only when it is chosen."""

import importlib
import inspect
from collections.abc import Mapping

from shared.pki.errors import BackendMisconfigured
from shared.pki.signing.base import SigningBackend

BACKENDS = {
    "software": "shared.pki.signing.software:SoftwareBackend",
    "key_vault": "shared.pki.signing.key_vault:KeyVaultBackend",
    "pkcs11": "shared.pki.signing.pkcs11:Pkcs11Backend",
}


def load_backend(name: str, settings: Mapping[str, str]) -> SigningBackend:
    """The backend that `CA_SIGNING_BACKEND` names: one of ours, or a plug-in as `package.module:Class`.

    Raises BackendMisconfigured if there is no such class, it does not keep the contract, or its settings are wrong.
    """
    return _find_class(name).from_settings(settings)


def _find_class(name: str) -> type[SigningBackend]:
    module_name, colon, class_name = BACKENDS.get(name, name).partition(":")
    if not colon:
        known = ", ".join(sorted(BACKENDS))
        raise BackendMisconfigured(
            f"CA_SIGNING_BACKEND is {name!r}: it must be one of {known}, or package.module:Class."
        )
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BackendMisconfigured(f"CA_SIGNING_BACKEND is {name!r}, which cannot be loaded: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, SigningBackend)) or inspect.isabstract(found):
        raise BackendMisconfigured(f"CA_SIGNING_BACKEND is {name!r}, which is not a whole SigningBackend.")
    return found
