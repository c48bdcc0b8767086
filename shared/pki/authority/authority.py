"""The issuers: which of them issues now, what is public about each, and the key that signs for it."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple

from shared.context import Deadline
from shared.directory.ledger import Ledger
from shared.directory.records.issuer import Issuer, IssuerStatus
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.errors import BackendMisconfigured, CaNotInitialized, ClockSkewed, IssuerKeyMismatch, IssuerNotFound
from shared.pki.keys import PrivateKey, spki_der
from shared.pki.signing.base import SigningBackend

CACHED_FOR = timedelta(seconds=5)
"""How long an issuer may be used as last read. A certificate is recorded only if its issuer is still active then."""


MAX_CLOCK_SKEW = timedelta(minutes=5)
"""With a clock further off, certificates would begin and CRLs end at the wrong time."""


class _Cache(NamedTuple):
    issuers: MappingProxyType[str, IssuerMaterial]
    fresh_until: float
    """On the monotonic clock."""


class Authority:
    """The CA as it stands in the directory, with its signing backend. Safe to share between threads.

    Args:
        backend_name: what `CA_SIGNING_BACKEND` says; an issuer whose key is in another backend can be read, not used.
        clock_skew: this machine's clock minus the storage service's, as far as known.
    """

    def __init__(
        self,
        ledger: Ledger,
        backend: SigningBackend,
        backend_name: str,
        *,
        clock_skew: Callable[[], timedelta | None] = lambda: None,
        cached_for: timedelta = CACHED_FOR,
    ) -> None:
        self._ledger = ledger
        self.backend = backend
        self.backend_name = backend_name
        self._clock_skew = clock_skew
        self._cached_for = cached_for.total_seconds()
        self._cache: _Cache | None = None
        self._keys_compared: set[str] = set()
        self._lock = threading.Lock()

    def issuers(self) -> tuple[IssuerMaterial, ...]:
        """All that have their certificate, the oldest first."""
        return tuple(sorted(self._issuers().values(), key=lambda issuer: issuer.record.created_at))

    def issuer(self, issuer_id: str) -> IssuerMaterial:
        """What is public about one issuer, whatever its status. Raises IssuerNotFound."""
        try:
            return self._issuers()[issuer_id]
        except KeyError:
            raise IssuerNotFound(issuer_id) from None

    def active(self) -> IssuerMaterial:
        """The issuer of new certificates. Raises CaNotInitialized."""
        for issuer in self._issuers().values():
            if issuer.record.status is IssuerStatus.ACTIVE:
                return issuer
        raise CaNotInitialized

    def signing_key(self, issuer: IssuerMaterial, deadline: Deadline) -> PrivateKey:
        """The issuer's private key, for one operation.

        Its public half is compared with the issuer's certificate, once in a process: another key than the one the
        certificate names must never sign. Raises IssuerKeyMismatch, ClockSkewed and what the backend raises.
        """
        skew = self._clock_skew()
        if skew is not None and abs(skew) > MAX_CLOCK_SKEW:
            raise ClockSkewed(skew)
        record = issuer.record
        if record.backend != self.backend_name:
            raise BackendMisconfigured(
                f"The key of issuer {record.id} is held by the signing backend {record.backend}, but "
                f"CA_SIGNING_BACKEND is {self.backend_name}: set it back."
            )
        if record.id not in self._keys_compared:
            found = self.backend.public_key(record.key_reference, deadline)
            if spki_der(found) != spki_der(issuer.public_key):
                raise IssuerKeyMismatch(record.id)
            self._keys_compared.add(record.id)
        return self.backend.signing_key(record.key_reference, deadline)

    def check(self, deadline: Deadline) -> None:
        """Raises unless the active issuer's key could sign now. For health; nothing is signed."""
        issuer = self.active()
        self.signing_key(issuer, deadline)
        self.backend.check(issuer.record.key_reference, deadline)

    def forget(self) -> None:
        """Reads the issuers anew next time: for the process that has just changed them."""
        with self._lock:
            self._cache = None

    def _issuers(self) -> MappingProxyType[str, IssuerMaterial]:
        cache = self._cache
        if cache is not None and time.monotonic() < cache.fresh_until:
            return cache.issuers
        with self._lock:
            if self._cache is None or time.monotonic() >= self._cache.fresh_until:
                self._cache = _Cache(self._read(), time.monotonic() + self._cached_for)
            return self._cache.issuers

    def _read(self) -> MappingProxyType[str, IssuerMaterial]:
        known = self._cache.issuers if self._cache else {}
        found: dict[str, IssuerMaterial] = {}
        for record in self._ledger.scan(Issuer):
            if record.der is not None:
                before = known.get(record.id)
                found[record.id] = before if before and before.record == record else IssuerMaterial.of(record)
        return MappingProxyType(found)
