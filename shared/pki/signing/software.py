"""CA keys as encrypted PEM files: for laptops, tests and small installations that accept it.

The first key is the configured file; later ones (rollover) lie beside it, named after their key identifier.
"""

import hashlib
import os
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import serialization

from shared.context import Deadline
from shared.pki.errors import BackendMisconfigured, BackendTimeout
from shared.pki.keys import KeyType, PrivateKey, PublicKey, generate_key, spki_der
from shared.pki.signing.base import SigningBackend

DEFAULT_PATH = Path(".local/ca/issuer.pem")


class SoftwareBackend(SigningBackend):
    """Encrypted PKCS#8 files of mode 0600, each read once per process (deriving the file's key costs some 30 ms).

    A reference is `<file name>#<first 16 hex digits of the SHA-256 of the public key>`: a file that was replaced by
    another key is noticed.
    """

    def __init__(self, path: Path, passphrase: str) -> None:
        """`path`: the first key's file; `passphrase`: of all files, not empty."""
        if not passphrase:
            raise BackendMisconfigured(
                "CA_SOFTWARE_KEY_PASSPHRASE is empty: the CA's key is only kept encrypted. Set it."
            )
        self._path = path
        self._passphrase = passphrase.encode()
        self._loaded: dict[str, PrivateKey] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Self:
        return cls(
            Path(settings.get("CA_SOFTWARE_KEY_PATH") or DEFAULT_PATH), settings.get("CA_SOFTWARE_KEY_PASSPHRASE", "")
        )

    def provide_key(self, key_type: KeyType, deadline: Deadline, *, in_use: Collection[str] = ()) -> str:
        _require_time(deadline)
        with self._lock:
            for path in self._files():
                key = self._read(path)
                reference = _reference(path.name, key)
                if reference in in_use:
                    continue
                if KeyType.of(key) is not key_type:
                    raise BackendMisconfigured(
                        f"{path} holds a free {KeyType.of(key) or 'foreign'} key, but {key_type} is asked for. "
                        "Ask for that type, or move the file away."
                    )
                return reference
            return self._create(key_type)

    def public_key(self, reference: str, deadline: Deadline) -> PublicKey:
        _require_time(deadline)
        return self._key(reference).public_key()

    def signing_key(self, reference: str, deadline: Deadline) -> PrivateKey:
        _require_time(deadline)
        return self._key(reference)

    def check(self, reference: str, deadline: Deadline) -> None:
        _require_time(deadline)
        self._key(reference)
        name = reference.partition("#")[0]
        if not (self._path.parent / name).exists():
            raise BackendMisconfigured(
                f"{self._path.parent / name} has gone: restore the CA's key file from its backup."
            )

    def _files(self) -> list[Path]:
        """The configured file first, then those of rollovers by name."""
        first = [self._path] if self._path.exists() else []
        return first + sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"))

    def _key(self, reference: str) -> PrivateKey:
        with self._lock:
            if reference not in self._loaded:
                name = reference.partition("#")[0]
                path = self._path.parent / name
                if "/" in name or not path.is_file():
                    raise BackendMisconfigured(
                        f"There is no key file {name} in {self._path.parent}: set CA_SOFTWARE_KEY_PATH to where the "
                        "issuer's key is, or restore it from its backup."
                    )
                key = self._read(path)
                if _reference(name, key) != reference:
                    raise BackendMisconfigured(
                        f"{path} holds another key than the one that the issuer was made with: restore the right file."
                    )
                self._loaded[reference] = key
            return self._loaded[reference]

    def _read(self, path: Path) -> PrivateKey:
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), self._passphrase)
        except OSError as error:
            raise BackendMisconfigured(
                f"{path} cannot be read ({error.strerror}): check its owner and mode."
            ) from error
        except TypeError as error:
            raise BackendMisconfigured(
                f"{path} is not encrypted: encrypt it with CA_SOFTWARE_KEY_PASSPHRASE."
            ) from error
        except ValueError as error:
            raise BackendMisconfigured(
                f"{path} cannot be decrypted: CA_SOFTWARE_KEY_PASSPHRASE is not its passphrase, or it is no PKCS#8 PEM."
            ) from error
        if KeyType.of(key) is None:
            raise BackendMisconfigured(f"{path} holds a key of a type that this CA does not sign with.")
        return key  # type: ignore[return-value]  # KeyType.of has just told its class

    def _create(self, key_type: KeyType) -> str:
        key = generate_key(key_type)
        path = self._path
        if path.exists():
            digest = hashlib.sha256(spki_der(key.public_key())).hexdigest()
            path = path.with_name(f"{path.stem}-{digest[:8]}{path.suffix}")
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(self._passphrase),
        )
        _write_private(path, pem)
        return _reference(path.name, key)


def _require_time(deadline: Deadline) -> None:
    if deadline.expired:
        raise BackendTimeout("There was no time left to use the software key.")


def _reference(name: str, key: PrivateKey) -> str:
    return f"{name}#{hashlib.sha256(spki_der(key.public_key())).hexdigest()[:16]}"


def _write_private(path: Path, content: bytes) -> None:
    """Creates the file whole or not at all, for the owner's eyes only, and never over an existing one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        finally:
            temporary.unlink()
    except OSError as error:
        raise BackendMisconfigured(
            f"{path} cannot be written ({error.strerror}): choose another place for it."
        ) from error
