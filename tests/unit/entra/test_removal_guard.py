"""What may be taken from users at once: of users a number, a share, never more than half; of certificates the same."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from shared.context import ActorKind
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import Certificate, CertificateKind, CertificateStatus, KeyOrigin
from shared.entra.tenant_sync.removal_guard import RemovalGuard, Removals, count_usable_certificates
from tests.support.plain_ledger import PlainLedger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CERTIFICATE = Certificate(
    id=1,
    user_id=1,
    status=CertificateStatus.ISSUED,
    issuer_id="0123456789abcdef",
    issuer="CN=CA",
    serial_number="01",
    subject="CN=User 1",
    not_before=NOW,
    not_after=NOW + timedelta(days=1),
    key_type="ec",
    key_size=256,
    key_origin=KeyOrigin.CSR,
    public_key_sha256="00",
    requester_kind=ActorKind.OPERATOR,
    requester_id="tests",
    tbs_sha256="00",
    sign_before=NOW,
    created_at=NOW,
    updated_at=NOW,
)


@dataclass(frozen=True)
class Policy:
    max_removals: int = 50
    max_removals_share: float = 0.05


def holding(certificates: int) -> Ledger:
    ledger = PlainLedger("tenant")
    ledger.commit(*(replace(CERTIFICATE, id=number) for number in range(1, certificates + 1)))
    return cast(Ledger, ledger)


@pytest.mark.parametrize(
    ("population", "allowed"), [(10_000, 500), (1000, 50), (200, 50), (60, 30), (2, 1), (1, 1), (0, 1)]
)
def test_users_may_leave_up_to_the_number_or_the_share_but_never_more_than_half(population: int, allowed: int) -> None:
    guard = RemovalGuard(holding(0), Policy(), population, NOW)
    assert guard.objection(Removals(users=allowed)) is None
    objection = guard.objection(Removals(users=allowed + 1))
    assert objection is not None
    assert (objection.limit, "users" in objection.reason) == (allowed, True)


@pytest.mark.parametrize(("certificates", "allowed"), [(0, 50), (1000, 50), (1200, 60)])
def test_certificates_may_be_lost_up_to_the_number_or_the_share_of_all(certificates: int, allowed: int) -> None:
    guard = RemovalGuard(holding(certificates), Policy(), 10, NOW)
    assert guard.objection(Removals(certificates=allowed)) is None
    objection = guard.objection(Removals(certificates=allowed + 1))
    assert objection is not None
    assert (objection.limit, "certificates" in objection.reason) == (allowed, True)


def test_only_certificates_that_users_can_still_use_are_counted() -> None:
    ledger = PlainLedger("tenant")
    ledger.commit(
        CERTIFICATE,
        replace(CERTIFICATE, id=2, status=CertificateStatus.PENDING),
        replace(CERTIFICATE, id=3, status=CertificateStatus.HELD),
        replace(CERTIFICATE, id=4, status=CertificateStatus.REVOKED),
        replace(CERTIFICATE, id=5, not_after=NOW - timedelta(seconds=1)),
        replace(CERTIFICATE, id=6, kind=CertificateKind.OCSP_RESPONDER, user_id=None),
    )
    assert count_usable_certificates(cast(Ledger, ledger), NOW) == 2
