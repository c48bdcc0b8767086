"""The responder keys of this process: made when first needed, renewed in time, never by two threads at once."""

import logging
import threading
import time
from datetime import timedelta
from uuid import uuid4

from shared.context import Actor, ActorKind, Clock, Context, Deadline, system_clock
from shared.errors import AppError
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.ocsp.responder_certificate import OcspCertification, OcspSigner

log = logging.getLogger("entra_pki.ocsp")

PAUSE = timedelta(seconds=30)
"""Between two attempts to get a certificate, whatever became of the first: the public must not drive the issuer."""
RESPONDER = Actor(ActorKind.APP, "ocsp_responder")


class OcspSignerUnavailable(AppError):
    """There is no responder certificate just now: it is being made, or could not be made a moment ago."""

    status, code = 503, "ocsp_signer_unavailable"

    def __init__(self) -> None:
        super().__init__("The OCSP responder has no certificate yet.", retry_after=PAUSE)


class OcspSigners:
    """One signer for each issuer. Safe to share between threads."""

    def __init__(
        self, certification: OcspCertification, *, clock: Clock = system_clock, pause: timedelta = PAUSE
    ) -> None:
        self._certification = certification
        self._clock = clock
        self._pause = pause.total_seconds()
        self._signers: dict[str, OcspSigner] = {}
        self._next_attempt: dict[str, float] = {}
        self._turn = threading.Lock()

    def of(self, issuer: IssuerMaterial, deadline: Deadline) -> OcspSigner:
        """A valid signer; who comes when it is time for the next one makes it, and the others go on with this one.

        Raises: OcspSignerUnavailable, and what `OcspCertification.certify` raises.
        """
        now = self._clock()
        signer = self._signers.get(issuer.id)
        if signer is not None and signer.is_fresh(now):
            return signer
        valid = signer if signer is not None and signer.is_valid(now) else None
        if not self._turn.acquire(timeout=0 if valid else deadline.remaining):
            return valid or _unavailable()
        try:
            known = self._signers.get(issuer.id)
            if known is not signer and known is not None:
                return known
            return self._renewed(issuer, valid, deadline)
        finally:
            self._turn.release()

    def _renewed(self, issuer: IssuerMaterial, valid: OcspSigner | None, deadline: Deadline) -> OcspSigner:
        if time.monotonic() < self._next_attempt.get(issuer.id, 0.0):
            return valid or _unavailable()
        self._next_attempt[issuer.id] = time.monotonic() + self._pause
        try:
            signer = self._certification.certify(issuer, Context(RESPONDER, f"ocsp-{uuid4()}", deadline))
        except AppError as error:
            log.warning("no OCSP responder certificate of %s: %s %s", issuer.id, error.code, error.message)
            if valid is None:
                raise
            return valid
        self._signers[issuer.id] = signer
        return signer


def _unavailable() -> OcspSigner:
    raise OcspSignerUnavailable
