"""The contract between the CA and whatever holds its keys.

A backend finds or creates a key, names it by a reference that is pinned in the issuer's record, and hands out for
it an object of cryptography's private-key classes, so that certificate, CRL and OCSP builders work unchanged.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar, Self

from shared.context import Deadline
from shared.pki.keys import KeyType, PrivateKey, PublicKey


class SigningBackend(ABC):
    """A key store. Safe to share between threads; opens nothing before the first call that needs it.

    Every method may raise BackendThrottled (429, with `retry_after`), BackendUnavailable (503) or its BackendTimeout
    (504), and BackendMisconfigured (503, the message says what to do). None of them raises anything else, nor does
    `sign` of a key that it handed out, and none outlives its deadline by more than one network time-out of its own.
    Where `sign` is certain that nothing was signed, it says so by the error's `nothing_signed`.

    A reference is text of at most 500 characters, chosen by the backend. It names one key for good: never "the latest
    version", so that an older certificate is never paired with a newer key.

    Attributes:
        KEY_TYPES: the types of key that the backend can hold.
    """

    KEY_TYPES: ClassVar[frozenset[KeyType]] = frozenset(KeyType)

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Self:
        """Builds the backend from the process's settings (name → text), without any input or output.

        Raises BackendMisconfigured that names every setting that is missing or wrong.
        """

    @abstractmethod
    def provide_key(self, key_type: KeyType, deadline: Deadline, *, in_use: Collection[str] = ()) -> str:
        """Finds the configured key if it is free, else creates one; returns its reference.

        A key is free when no issuer has it: its reference is not in `in_use`. So a `ca init` that died after creating
        its key finds that key again, and a rollover gets a new one. A free key of another type is refused
        (BackendMisconfigured), never passed over silently.
        """

    @abstractmethod
    def public_key(self, reference: str, deadline: Deadline) -> PublicKey:
        """The public half of the key. BackendMisconfigured if there is no such key."""

    @abstractmethod
    def signing_key(self, reference: str, deadline: Deadline) -> PrivateKey:
        """A private-key object whose `sign` answers by the deadline. Take one for each operation; it is cheap.

        `sign` need support only what `shared.pki.keys.sign` asks for: PKCS#1 v1.5 with SHA-256 for RSA, ECDSA with the
        curve's hash for EC. A retry inside `sign` signs the same bytes.
        """

    @abstractmethod
    def check(self, reference: str, deadline: Deadline) -> None:
        """Raises unless the key could sign now, as far as can be told cheaply and without signing. For health."""
