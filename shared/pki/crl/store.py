"""The published CRLs, as whoever asks gets them: the newest, from memory if it is the same as a moment ago.

Neither the replica nor a key is needed to hand one out, and nothing is made here.
"""

import hashlib
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from shared.context import Clock, system_clock
from shared.directory.blobs import BlobDamaged, BlobStore
from shared.directory.errors import StorageUnavailable
from shared.directory.ledger import Ledger
from shared.directory.records.crl import CrlPointer, crl_key
from shared.pki.crl.errors import CrlMissing, CrlNotPublished
from shared.pki.crl.revocation_list import to_pem

CACHED_FOR = timedelta(seconds=10)


@dataclass(frozen=True)
class PublishedCrl:
    """A CRL that has been published: DER, its number, its times (UTC) and its SHA-256 in hex."""

    number: int
    der: bytes
    sha256: str
    this_update: datetime
    next_update: datetime

    @property
    def etag(self) -> str:
        return f'"{self.sha256}"'

    @property
    def cache_control(self) -> str:
        """A cache in between may keep it as long as the timer may take to publish the next revocation."""
        return "public, max-age=60, must-revalidate"

    @cached_property
    def pem(self) -> bytes:
        return to_pem(self.der)


def crl_folder(issuer_id: str) -> str:
    return f"crl/{issuer_id}/"


def crl_name(issuer_id: str, number: int) -> str:
    """The blob's name: by name is by number."""
    return f"{crl_folder(issuer_id)}{number:016d}"


class CrlStore:
    """Reads published CRLs. Safe to share between threads, which share one look at the storage."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        *,
        clock: Clock = system_clock,
        cached_for: timedelta = CACHED_FOR,
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._clock = clock
        self._cached_for = cached_for.total_seconds()
        self._current: dict[str, tuple[PublishedCrl, float]] = {}
        self._lock = threading.Lock()

    def current(self, issuer_id: str) -> PublishedCrl:
        """The newest, as of at most 10 s ago; while the storage is down, the last one seen as long as it is valid.

        Raises: CrlNotPublished, CrlMissing, BlobDamaged, StorageUnavailable.
        """
        crl, fresh_until = self._current.get(issuer_id, (None, 0.0))
        if crl is not None and time.monotonic() < fresh_until:
            return crl
        with self._lock:
            crl, fresh_until = self._current.get(issuer_id, (None, 0.0))
            if crl is None or time.monotonic() >= fresh_until:
                crl = self._renewed(issuer_id, crl)
                self._current[issuer_id] = crl, time.monotonic() + self._cached_for
            return crl

    def _renewed(self, issuer_id: str, known: PublishedCrl | None) -> PublishedCrl:
        try:
            return self._read(issuer_id, known)
        except StorageUnavailable:
            if known is None or self._clock() >= known.next_update:
                raise
            return known

    def _read(self, issuer_id: str, known: PublishedCrl | None) -> PublishedCrl:
        pointer = self._ledger.get(CrlPointer, crl_key(issuer_id))
        if pointer is None or pointer.number is None or pointer.this_update is None or pointer.next_update is None:
            raise CrlNotPublished(issuer_id)
        if known is not None and known.sha256 == pointer.sha256:
            return known
        name = crl_name(issuer_id, pointer.number)
        data = self._blobs.get(name)
        if data is None:
            raise CrlMissing(name)
        crl = PublishedCrl(pointer.number, data, pointer.sha256 or "", pointer.this_update, pointer.next_update)
        if hashlib.sha256(data).hexdigest() != crl.sha256:
            raise BlobDamaged(name)
        return crl
