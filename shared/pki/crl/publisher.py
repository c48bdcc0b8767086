"""Makes CRLs and publishes them: every hour, and within a minute of a change of what is revoked.

The order that loses nothing: read what is revoked as of a log position; take a number for that position; sign; store
the CRL under its number; only then point to it. Numbers, positions and thisUpdate only rise, whoever rebuilds at the
same time and wherever one of them dies.
"""

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.context import Clock, Context, system_clock
from shared.directory.blobs import Blob, BlobStore
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.crl import CrlPointer, crl_key
from shared.errors import AppError
from shared.pki.authority.authority import Authority
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.crl.contents import CrlContents, CrlReader
from shared.pki.crl.errors import CrlNumberUsed, CrlOvertaken
from shared.pki.crl.revocation_list import CODE_SIGNING_RETENTION, LIFE, PUBLISHED_EVERY, CrlDraft
from shared.pki.crl.store import crl_folder, crl_name

log = logging.getLogger("entra_pki.crl")

KEPT = 200
"""CRLs of an issuer that stay in the blob storage: over a week at one an hour. The ledger's log names them all."""
ATTEMPTS = 10
REBUILT_AFTER = PUBLISHED_EVERY - timedelta(minutes=2)
"""The timer runs every minute: so the next CRL is there when clients start to look for it."""


@dataclass(frozen=True)
class CrlPublication:
    """What became of one issuer: its pointer now, and whether a CRL was made. `error`: why there is no new one."""

    issuer_id: str
    pointer: CrlPointer | None
    published: bool
    error: AppError | None = None


class CrlPublisher:
    """Safe to share between threads: one of them rebuilds at a time, the others find its work done."""

    def __init__(
        self,
        ledger: Ledger,
        authority: Authority,
        reader: CrlReader,
        blobs: BlobStore,
        *,
        clock: Clock = system_clock,
    ) -> None:
        self._ledger = ledger
        self._authority = authority
        self._reader = reader
        self._blobs = blobs
        self._clock = clock
        self._turn = threading.Lock()
        self._unchanged: dict[str, tuple[int | None, int]] = {}
        """By issuer: the published number and the head's seq at which it was found to be up to date."""

    def publish_due(self, context: Context) -> list[CrlPublication]:
        """Looks after all issuers, retired ones included; makes a CRL where one is due. For the timer.

        One is due after an hour, and when it is another set of certificates that is revoked.
        """
        return [self._attempt(issuer, context) for issuer in self.issuers()]

    def issuers(self) -> list[IssuerMaterial]:
        """Those whose certificates may still be in use, and that can still sign."""
        now = self._clock()
        return [issuer for issuer in self._authority.issuers() if now <= issuer.not_after]

    def publish(self, issuer_id: str, context: Context, *, force: bool = True) -> CrlPublication:
        """A new CRL for one issuer; without `force`, only if one is due.

        Raises: IssuerNotFound, CrlNumberUsed, CrlOvertaken, SignatureRefused, and what the replica, the storage and
            the signing backend raise.
        """
        issuer = self._authority.issuer(issuer_id)
        with self._turn:
            for _ in range(ATTEMPTS):
                try:
                    return self._publish(issuer, context, force)
                except CrlOvertaken:
                    log.info("the CRL of %s was overtaken by a rebuild of a later state; again", issuer.id)
            raise CrlOvertaken

    def _attempt(self, issuer: IssuerMaterial, context: Context) -> CrlPublication:
        try:
            return self.publish(issuer.id, context, force=False)
        except AppError as error:
            log.error("the CRL of %s was not published: %s %s", issuer.id, error.code, error.message)
            pointer = None
            with suppress(AppError):
                pointer = self._ledger.get(CrlPointer, crl_key(issuer.id))
            return CrlPublication(issuer.id, pointer, published=False, error=error)

    def _publish(self, issuer: IssuerMaterial, context: Context, force: bool) -> CrlPublication:
        now = self._clock().replace(microsecond=0)
        head = self._ledger.head()
        pointer = self._ledger.get(CrlPointer, crl_key(issuer.id))
        late = force or pointer is None or _is_late(pointer, now)
        number = None if pointer is None else pointer.number
        if not late and self._unchanged.get(issuer.id) == (number, head.seq):
            return CrlPublication(issuer.id, pointer, published=False)
        this_update = now if pointer is None else max(now, pointer.last_this_update)
        before = None if pointer is None else pointer.this_update
        contents = self._reader.read(issuer.id, this_update, before, context.deadline)
        if not late and pointer is not None and pointer.contents_sha256 == contents.sha256:
            self._unchanged[issuer.id] = number, head.seq
            return CrlPublication(issuer.id, pointer, published=False)
        numbered = self._take_number(issuer.id, contents, this_update, context)
        der = _draft(issuer, numbered, contents).sign(self._authority.signing_key(issuer, context.deadline))
        blob = self._blobs.put_new(crl_name(issuer.id, numbered.last_number), der)
        current = self._point_to(numbered, blob, contents, context)
        self._prune(issuer.id)
        return CrlPublication(issuer.id, current, published=True)

    def _take_number(
        self, issuer_id: str, contents: CrlContents, this_update: datetime, context: Context
    ) -> CrlPointer:
        """The next number, for what was read. Raises CrlOvertaken if a later state has a number already."""
        newest = max(self._published_numbers(issuer_id), default=0)

        def decide(tx: Transaction) -> CrlPointer:
            current = tx.get(CrlPointer, crl_key(issuer_id))
            if current is None:
                current = CrlPointer(issuer_id=issuer_id, last_number=0, last_seq=0, last_this_update=this_update)
            if contents.seq < current.last_seq or this_update < current.last_this_update:
                raise CrlOvertaken
            number = current.last_number + 1
            if number <= newest:
                raise CrlNumberUsed(issuer_id, number, newest)
            taken = replace(current, last_number=number, last_seq=contents.seq, last_this_update=this_update)
            tx.put(taken)
            return taken

        request = Request("crl.numbered", context, decide, ((CrlPointer, crl_key(issuer_id)),))
        return self._ledger.commit(request, context.deadline).value

    def _point_to(self, numbered: CrlPointer, blob: Blob, contents: CrlContents, context: Context) -> CrlPointer:
        """Makes the stored CRL the current one, unless one of a higher number is."""

        def decide(tx: Transaction) -> CrlPointer:
            current = tx.get(CrlPointer, numbered.key) or numbered
            if current.number is not None and current.number >= numbered.last_number:
                return current
            published = replace(
                current,
                number=numbered.last_number,
                seq=contents.seq,
                sha256=blob.sha256,
                size=blob.size,
                entries=contents.entries,
                this_update=numbered.last_this_update,
                next_update=numbered.last_this_update + LIFE,
                built_at=self._clock(),
                contents_sha256=contents.sha256,
            )
            tx.put(published)
            return published

        request = Request("crl.published", context, decide, ((CrlPointer, numbered.key),))
        return self._ledger.commit(request, context.deadline).value

    def _published_numbers(self, issuer_id: str) -> list[int]:
        folder = crl_folder(issuer_id)
        return [int(blob.name.removeprefix(folder)) for blob in self._blobs.list(folder)]

    def _prune(self, issuer_id: str) -> None:
        """Deletes what is older than the newest `KEPT`. A failure is left to the next time: the CRL is published."""
        try:
            for number in sorted(self._published_numbers(issuer_id))[:-KEPT]:
                self._blobs.delete(crl_name(issuer_id, number))
        except AppError as error:
            log.warning("old CRLs of %s were not deleted: %s", issuer_id, error.message)


def _is_late(pointer: CrlPointer, now: datetime) -> bool:
    """Whether it is time for the next one, or the clock was set back so far that it cannot be told."""
    return pointer.built_at is None or abs(now - pointer.built_at) >= REBUILT_AFTER


def _draft(issuer: IssuerMaterial, numbered: CrlPointer, contents: CrlContents) -> CrlDraft:
    this_update = numbered.last_this_update
    kept_since = max(issuer.not_before, this_update - CODE_SIGNING_RETENTION)
    return CrlDraft(
        issuer=issuer,
        number=numbered.last_number,
        this_update=this_update,
        next_update=this_update + LIFE,
        next_publish=this_update + PUBLISHED_EVERY,
        revoked_certificates=contents.revoked_certificates,
        expired_since=kept_since if contents.has_code_signing else None,
    )
