"""Signing backends for tests: the software one with something happening at each signature."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import hashes

from shared.context import Deadline
from shared.pki.keys import PrivateKey, sign
from shared.pki.signing.remote_key import remote_private_key
from shared.pki.signing.software import SoftwareBackend

SignHook = Callable[[bytes, Callable[[], bytes]], bytes]
"""(what is to be signed, sign it) → the signature, or whatever else a backend might answer."""


class HookedBackend(SoftwareBackend):
    """Calls `on_sign` for each signature, which may do anything before, instead of or after it."""

    on_sign: SignHook | None = None

    def signing_key(self, reference: str, deadline: Deadline) -> PrivateKey:
        local = super().signing_key(reference, deadline)

        def hooked(data: bytes, _algorithm: hashes.HashAlgorithm) -> bytes:
            if self.on_sign is None:
                return sign(local, data)
            return self.on_sign(data, lambda: sign(local, data))

        return remote_private_key(local.public_key(), hooked)


class CountingBackend(SoftwareBackend):
    """A plug-in that writes down each signature before it returns it: `<to be signed>:<signature>` in hex, one a line.

    Its own setting, COUNTED_SIGNATURES, names the file.
    """

    file: Path

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Self:
        backend = super().from_settings(settings)
        backend.file = Path(settings["COUNTED_SIGNATURES"])
        return backend

    def signing_key(self, reference: str, deadline: Deadline) -> PrivateKey:
        local = super().signing_key(reference, deadline)

        def counted(data: bytes, _algorithm: hashes.HashAlgorithm) -> bytes:
            signature = sign(local, data)
            line = f"{data.hex()}:{signature.hex()}\n".encode()
            descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
            return signature

        return remote_private_key(local.public_key(), counted)


def counted_signatures(file: Path) -> list[tuple[bytes, bytes]]:
    """What a CountingBackend wrote: (signed bytes, signature), in order."""
    if not file.exists():
        return []
    pairs = (line.split(":") for line in file.read_text().splitlines())
    return [(bytes.fromhex(data), bytes.fromhex(signature)) for data, signature in pairs]
