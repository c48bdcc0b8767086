"""`Idempotency-Key`: a request repeated by the same caller gets the same certificate, not a second one."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.context import Actor
from shared.directory.records.certificate import Certificate, CertificateStatus, KeyOrigin
from shared.directory.records.idempotency import IdempotentRequest, idempotency_key
from shared.pki.errors import IdempotencyInFlight, IdempotencyKeyReused
from shared.pki.issuance.order import Order

REMEMBERED_FOR = timedelta(hours=24)
RESUMABLE_FOR = timedelta(minutes=15)
"""From then on the sweeper takes the reservation: `shared.pki.issuance.sweeper.SWEEP_AFTER` is the same moment."""


ASK_AGAIN_AFTER = timedelta(seconds=5)
"""At most: a request in flight usually ends within a second, one that died only when its lease does."""


@dataclass(frozen=True, slots=True)
class Once:
    """One caller's key with the order that it stands for."""

    key_sha256: str
    body_sha256: str

    @classmethod
    def of(cls, actor: Actor, key: str, order: Order) -> "Once":
        """Scoped to the caller; the tenant is the ledger's. Lengths are hashed along, so that no two pairs collide."""
        scope = f"{actor.kind}:{len(actor.id)}:{actor.id}:{key}"
        return cls(hashlib.sha256(scope.encode("utf-8", "surrogatepass")).hexdigest(), order.sha256)

    @property
    def row_key(self) -> str:
        return idempotency_key(self.key_sha256)

    def remember(self, certificate_id: int, now: datetime) -> IdempotentRequest:
        return IdempotentRequest(
            key_sha256=self.key_sha256,
            body_sha256=self.body_sha256,
            certificate_id=certificate_id,
            created_at=now,
            expires_at=now + REMEMBERED_FOR,
        )

    def applies(self, before: IdempotentRequest | None, now: datetime) -> bool:
        """Whether `before` is the record of this very order. Raises IdempotencyKeyReused if it is that of another."""
        if before is None or now >= before.expires_at:
            return False
        if before.body_sha256 != self.body_sha256:
            raise IdempotencyKeyReused
        return True


def was_answered(certificate: Certificate) -> bool:
    """Whether the order was fulfilled: then the answer is this certificate, whatever became of it since."""
    return certificate.issued_at is not None


def may_be_resumed(certificate: Certificate, now: datetime) -> bool:
    """Whether a repeated order may sign the very same bytes once more: the key is the requester's own, it is young.

    Raises IdempotencyInFlight while another process holds the lease, which is the reservation's `sign_before`.
    """
    if certificate.status is not CertificateStatus.PENDING:
        return False
    if now < certificate.sign_before:
        raise IdempotencyInFlight(min(certificate.sign_before - now, ASK_AGAIN_AFTER))
    return certificate.key_origin is KeyOrigin.CSR and now < certificate.created_at + RESUMABLE_FOR
