"""The OCSP responder (RFC 6960): what is asked, what the directory says, signed by a delegated key."""

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.context import Clock, Deadline, system_clock
from shared.errors import AppError
from shared.pki.authority.authority import Authority
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.errors import IssuerNotFound
from shared.pki.keys import spki_der
from shared.pki.ocsp.codec import (
    CertId,
    MalformedOcspRequest,
    OcspRequest,
    ResponseStatus,
    decode_request,
    error_response,
    hashed,
    key_bits,
    response,
    response_data,
)
from shared.pki.ocsp.signers import OcspSigners
from shared.pki.ocsp.statuses import OcspStatuses

log = logging.getLogger("entra_pki.ocsp")

LIFE = timedelta(hours=1)
"""thisUpdate to nextUpdate: how long clients keep an answer."""
CACHED_FOR = timedelta(seconds=10)
MAX_CACHED = 1000
BUDGET = timedelta(seconds=10)
_HASHES = ("sha1", "sha256")
_SHA256 = ec.ECDSA(hashes.SHA256())
_PASSING = frozenset({429, 503, 504})


@dataclass(frozen=True)
class OcspReply:
    """A reply on the wire. `this_update` is None where it is an error, `cacheable` false where it has a nonce."""

    content: bytes
    this_update: datetime | None = None
    cacheable: bool = False

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()}"'

    @property
    def cache_control(self) -> str:
        """RFC 5019 6.2, with less than nextUpdate would allow: a cache in between adds to what clients keep."""
        return "public, max-age=300, no-transform, must-revalidate" if self.cacheable else "no-store"


class OcspResponder:
    """Answers for all issuers. Safe to share between threads. Never raises: errors are replies, too."""

    def __init__(
        self,
        authority: Authority,
        statuses: OcspStatuses,
        signers: OcspSigners,
        *,
        clock: Clock = system_clock,
        cached_for: timedelta = CACHED_FOR,
    ) -> None:
        self._authority = authority
        self._statuses = statuses
        self._signers = signers
        self._clock = clock
        self._cached_for = cached_for.total_seconds()
        self._cache: OrderedDict[tuple[str, tuple[CertId, ...]], tuple[OcspReply, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._names: dict[str, frozenset[tuple[str, bytes, bytes]]] = {}

    def answer(self, issuer_id: str, encoded: bytes) -> OcspReply:
        """The reply to an encoded OCSPRequest that was sent to this issuer's address."""
        try:
            return self._answer(issuer_id, decode_request(encoded), Deadline.after(BUDGET))
        except MalformedOcspRequest:
            return _error(ResponseStatus.MALFORMED_REQUEST)
        except IssuerNotFound:
            return _error(ResponseStatus.UNAUTHORIZED)
        except AppError as error:
            log.warning("no OCSP answer for %s: %s %s", issuer_id, error.code, error.message)
            return _error(ResponseStatus.TRY_LATER if error.status in _PASSING else ResponseStatus.INTERNAL_ERROR)
        except Exception:
            log.exception("no OCSP answer for %s", issuer_id)
            return _error(ResponseStatus.INTERNAL_ERROR)

    def _answer(self, issuer_id: str, request: OcspRequest, deadline: Deadline) -> OcspReply:
        issuer = self._authority.issuer(issuer_id)
        now = self._clock()
        if now > issuer.not_after or not all(self._is_of(issuer, each) for each in request.certificates):
            return _error(ResponseStatus.UNAUTHORIZED)
        if request.nonce is not None:
            return self._signed(issuer, request, now, deadline)
        key = issuer.id, request.certificates
        reply, fresh_until = self._cache.get(key, (None, 0.0))
        if reply is None or time.monotonic() >= fresh_until:
            reply = self._signed(issuer, request, now, deadline)
            self._remember(key, reply)
        return reply

    def _signed(self, issuer: IssuerMaterial, request: OcspRequest, now: datetime, deadline: Deadline) -> OcspReply:
        signer = self._signers.of(issuer, deadline)
        serial_numbers = [each.serial_number.lstrip(b"\0").hex() for each in request.certificates]
        statuses = self._statuses.of(issuer.id, serial_numbers, deadline)
        this_update = now.replace(microsecond=0)
        data = response_data(
            signer.key_hash,
            this_update,
            min(this_update + LIFE, signer.not_after),
            list(zip(request.certificates, statuses, strict=True)),
            request.nonce,
        )
        content = response(data, signer.key.sign(data, _SHA256), signer.certificate)
        return OcspReply(content, this_update, cacheable=request.nonce is None)

    def _remember(self, key: tuple[str, tuple[CertId, ...]], reply: OcspReply) -> None:
        with self._lock:
            self._cache[key] = reply, time.monotonic() + self._cached_for
            self._cache.move_to_end(key)
            while len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)

    def _is_of(self, issuer: IssuerMaterial, asked: CertId) -> bool:
        if issuer.id not in self._names:
            name, key = issuer.record.subject_der, key_bits(spki_der(issuer.public_key))
            self._names[issuer.id] = frozenset((each, hashed(each, name), hashed(each, key)) for each in _HASHES)
        return (asked.algorithm, asked.issuer_name_hash, asked.issuer_key_hash) in self._names[issuer.id]


def _error(status: ResponseStatus) -> OcspReply:
    return OcspReply(error_response(status))
