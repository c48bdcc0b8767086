"""Renewals on a real ledger: a successor like any other certificate, one at most, and an end for the old one."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.directory.ledger import Ledger
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    CertificateType,
    RevocationReason,
    RevocationSource,
    Succession,
)
from shared.directory.records.user import User
from shared.directory.replica.queries import CertificateQuery
from shared.directory.replica.replica import Replica
from shared.directory.tables import TableStore
from shared.errors import AppError
from shared.pki.issuance.order import Issued
from shared.pki.issuance.renewal import Renewal, RenewalOrder
from shared.pki.issuance.sweeper import Sweeper
from shared.pki.keys import KeyType, generate_key
from shared.pki.revocation.departures import DeparturePolicy, Departures
from shared.pki.revocation.revocation import Revocation
from shared.pki.revocation.upkeep import RevocationUpkeep, UpkeepReport
from tests.support.pki import SettableClock, TestCa, context, make_csr, order, software_backend


class Life:
    """A CA whose clock the test moves, with one user and one certificate of 365 days."""

    def __init__(self, tables: TableStore, tenant_id: str, folder: Path, clock: SettableClock, **policy: Any) -> None:
        self.clock = clock
        self.ledger = Ledger(tables, tenant_id, clock=clock)
        ca = TestCa.on(self.ledger, software_backend(folder), clock=clock).initialize()
        self.ca = ca.with_policy(**policy)
        self.replica = Replica(self.ledger, folder / "replica", tenant_id, clock=clock)
        self.departures = Departures(DeparturePolicy())
        self.ada = ca.add_user()
        self.old = self.issue(self.ada)

    def issue(self, user: User, **changes: Any) -> Certificate:
        return self.ca.issuance.issue(order(user, **changes), context()).certificate

    def renew(self, certificate_id: int, *, once: str | None = None, caller: str = "tests", **wanted: Any) -> Issued:
        renewal = Renewal(self.ledger, self.ca.issuance, self.ca.policy, default_key_size=2048)
        if "key_size" not in wanted:
            wanted.setdefault("csr", make_csr(generate_key(KeyType.P_256)))
        asked = RenewalOrder(certificate_id=certificate_id, **wanted)
        return renewal.renew(asked, context(caller), idempotency_key=once)

    def after(self, **time: float) -> None:
        self.clock.now += timedelta(**time)

    def upkeep(self) -> UpkeepReport:
        return RevocationUpkeep(self.ledger, self.replica, self.departures, clock=self.clock).run(context())

    def revoke(self, certificate_id: int, reason: RevocationReason = RevocationReason.UNSPECIFIED) -> None:
        Revocation(self.ledger, self.departures).revoke(certificate_id, reason, context())

    def now(self, certificate: Certificate) -> Certificate:
        return self.ca.certificate(certificate.id)


LifeWith = Callable[..., Life]


@pytest.fixture
def life_with(tables: TableStore, tenant_id: str, tmp_path: Path) -> LifeWith:
    """A `Life` whose policy has the changes given."""
    from datetime import UTC, datetime

    return lambda **policy: Life(tables, tenant_id, tmp_path, SettableClock(datetime.now(UTC)), **policy)


@pytest.fixture
def life(life_with: LifeWith) -> Life:
    return life_with()


def refusal(act: Callable[[], object]) -> AppError:
    with pytest.raises(AppError) as caught:
        act()
    return caught.value


def test_a_renewal_is_of_the_same_type_and_length_and_names_the_user_as_the_directory_does_today(life: Life) -> None:
    old = life.issue(life.ada, certificate_type=CertificateType.EMAIL_PROTECTION, validity_days=90)
    life.ca.change_user(life.ada, name="Ada King", given_name="Ada", surname="King")
    life.after(days=80)

    new = life.renew(old.id).certificate

    assert (new.user_id, new.certificate_type) == (life.ada.id, CertificateType.EMAIL_PROTECTION)
    assert new.not_after - new.not_before == old.not_after - old.not_before
    assert "King" in new.subject
    assert "King" not in old.subject
    assert (new.renews, life.now(old).renewed_by) == (old.id, new.id)


def test_a_key_made_here_has_the_size_of_the_old_one_unless_the_request_or_the_policy_says_more(
    life_with: LifeWith,
) -> None:
    life = life_with(min_rsa_bits=2049)
    renewal = Renewal(life.ledger, life.ca.issuance, life.ca.policy, default_key_size=2048)
    large = replace(life.old, key_type=KeyType.RSA_4096, key_size=4096)

    def key_size(old: Certificate, asked: int | None = None) -> int | None:
        return renewal.order(old, RenewalOrder(certificate_id=old.id, key_size=asked)).key_size

    assert (key_size(large), key_size(large, 2048), key_size(life.old)) == (4096, 2048, 3072)


def test_a_shorter_limit_shortens_the_successor_but_refuses_what_is_asked_for_beyond_it(life_with: LifeWith) -> None:
    life = life_with()
    life.ca = life.ca.with_policy(max_validity_days={CertificateType.CLIENT_AUTH: 30})

    refused = refusal(lambda: life.renew(life.old.id, validity_days=31))
    new = life.renew(life.old.id).certificate

    assert (refused.code, list(refused.errors or {})) == ("validation_failed", ["validity_days"])
    assert round((new.not_after - new.not_before) / timedelta(days=1)) == 30


def test_policy_and_user_are_checked_anew(life: Life) -> None:
    life.ca = life.ca.with_policy(allowed_types=frozenset({CertificateType.CODE_SIGNING}))
    assert refusal(lambda: life.renew(life.old.id)).status == 422
    life.ca = life.ca.with_policy()
    life.ca.change_user(life.ada, is_active=False)

    assert refusal(lambda: life.renew(life.old.id)).code == "user_inactive"
    assert life.now(life.old).renewed_by is None


def test_both_are_valid_during_the_overlap_then_the_old_one_is_revoked_as_superseded(life: Life) -> None:
    new = life.renew(life.old.id).certificate
    life.after(days=7, seconds=-2)
    assert life.upkeep().superseded == 0
    assert life.now(life.old).status is CertificateStatus.ISSUED

    life.after(seconds=3)
    assert life.upkeep().superseded == 1

    old = life.now(life.old)
    assert (old.status, old.revocation_reason) == (CertificateStatus.REVOKED, RevocationReason.SUPERSEDED)
    assert old.revocation_source is RevocationSource.RENEWAL
    assert life.now(new).status is CertificateStatus.ISSUED
    assert life.upkeep().superseded == 0
    assert list(life.ledger.scan(Succession)) == []
    life.replica.catch_up(context().deadline)
    with life.replica.revoked_certificates(old.issuer_id) as (_, entries):
        assert [(each.serial_number, each.reason) for each in entries] == [
            (old.serial_number, RevocationReason.SUPERSEDED)
        ]


def test_without_an_overlap_the_old_one_is_revoked_in_the_transaction_that_issues_the_new_one(
    life_with: LifeWith,
) -> None:
    life = life_with(renewal_overlap=timedelta(0))

    new = life.renew(life.old.id).certificate

    *_, last = life.ledger.log(0)
    (operation,) = last.operations
    assert operation.action == "certificate.confirmed"
    assert {f"cert|{life.old.id:010d}", f"cert|{new.id:010d}"} <= {change.key for change in operation.changes}
    assert life.now(life.old).revocation_reason is RevocationReason.SUPERSEDED


def test_one_that_ends_within_the_overlap_is_left_to_end_by_itself(life: Life) -> None:
    life.after(days=360)

    life.renew(life.old.id)

    assert list(life.ledger.scan(Succession)) == []
    life.after(days=10)
    assert life.upkeep().superseded == 0
    assert life.now(life.old).status is CertificateStatus.ISSUED


def test_what_ended_in_the_last_thirty_days_is_renewed_and_what_ended_before_is_not(life: Life) -> None:
    other = life.issue(life.ada)
    life.after(days=394)
    assert life.renew(life.old.id).certificate.status is CertificateStatus.ISSUED

    life.after(days=2)

    assert refusal(lambda: life.renew(other.id)).code == "certificate_not_renewable"


@pytest.mark.parametrize("reason", [RevocationReason.UNSPECIFIED, RevocationReason.CERTIFICATE_HOLD])
def test_what_is_revoked_or_on_hold_is_not_renewed(life: Life, reason: RevocationReason) -> None:
    life.revoke(life.old.id, reason)

    assert refusal(lambda: life.renew(life.old.id)).code == "certificate_not_renewable"


def test_the_cas_own_certificates_and_unknown_ones_are_not_found(life: Life) -> None:
    assert refusal(lambda: life.renew(4711)).code == "certificate_not_found"


def test_a_second_renewal_is_refused_and_names_the_first(life: Life) -> None:
    new = life.renew(life.old.id).certificate

    refused = refusal(lambda: life.renew(life.old.id))

    assert (refused.status, refused.code) == (409, "certificate_already_renewed")
    assert refused.details == {"renewed_by": new.id}
    assert life.renew(new.id).certificate.renews == new.id


def test_a_revoked_successor_makes_way_for_another_and_does_not_end_the_old_one(life: Life) -> None:
    first = life.renew(life.old.id).certificate
    life.revoke(first.id)
    life.after(days=6)
    second = life.renew(life.old.id).certificate
    assert life.now(life.old).renewed_by == second.id

    life.after(days=2)
    assert life.upkeep().superseded == 0
    life.after(days=5, seconds=1)
    assert life.upkeep().superseded == 1


def test_the_old_one_lives_on_where_its_only_successor_was_revoked(life: Life) -> None:
    life.revoke(life.renew(life.old.id).certificate.id)
    life.after(days=8)

    assert life.upkeep().superseded == 0
    assert life.now(life.old).status is CertificateStatus.ISSUED


def test_the_same_request_gets_the_same_successor(life: Life) -> None:
    csr = make_csr(generate_key(KeyType.P_256))

    first = life.renew(life.old.id, csr=csr, once="monday")
    again = life.renew(life.old.id, csr=csr, once="monday")

    assert (again.certificate.id, again.replayed) == (first.certificate.id, True)
    reused = refusal(lambda: life.ca.issuance.issue(order(life.ada, csr=csr), context(), idempotency_key="monday"))
    assert reused.code == "idempotency_key_reused"


def test_of_many_renewals_at_a_time_one_wins(life: Life) -> None:
    issued: list[int] = []
    refused: list[str] = []
    start = threading.Barrier(6)

    def renew() -> None:
        start.wait()
        try:
            issued.append(life.renew(life.old.id).certificate.id)
        except AppError as error:
            refused.append(error.code)

    threads = [threading.Thread(target=renew) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(issued) == 1
    assert len(refused) == 5
    assert set(refused) <= {"certificate_already_renewed", "renewal_in_flight"}
    live = [each for each in life.ca.certificates() if each.renews == life.old.id]
    assert [each.id for each in live] == issued


def test_a_renewal_that_died_makes_way_once_its_minute_is_over_and_is_then_revoked(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(life.ca.issuance, "_commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            life.renew(life.old.id)
    (lost,) = [each for each in life.ca.certificates() if each.status is CertificateStatus.PENDING]
    in_flight = refusal(lambda: life.renew(life.old.id))
    assert (in_flight.code, in_flight.retry_after) == ("renewal_in_flight", timedelta(seconds=5))

    life.after(seconds=61)
    new = life.renew(life.old.id).certificate

    assert life.now(life.old).renewed_by == new.id
    assert life.now(lost).status is CertificateStatus.REVOKED


@pytest.mark.parametrize("own_key", [True, False], ids=["csr", "server key"])
def test_a_renewal_that_died_and_is_asked_for_again_has_one_successor(
    life: Life, monkeypatch: pytest.MonkeyPatch, own_key: bool
) -> None:
    wanted: dict[str, Any] = {"csr": make_csr(generate_key(KeyType.P_256))} if own_key else {"key_size": 2048}
    with monkeypatch.context() as patch:
        patch.setattr(life.ca.issuance, "_commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            life.renew(life.old.id, once="monday", **wanted)
    (lost,) = [each for each in life.ca.certificates() if each.status is CertificateStatus.PENDING]
    assert refusal(lambda: life.renew(life.old.id, once="monday", **wanted)).code == "idempotency_in_flight"
    life.after(seconds=61)

    new = life.renew(life.old.id, once="monday", **wanted).certificate

    assert (new.id == lost.id) is own_key  # the same bytes are signed where the requester has the key
    assert life.now(life.old).renewed_by == new.id
    assert [row.renewed_by for row in life.ledger.scan(Succession)] == [new.id]
    live = [each.id for each in life.ca.certificates() if each.renews and each.status is CertificateStatus.ISSUED]
    assert live == [new.id]


def test_a_swept_renewal_leaves_the_old_certificate_to_be_renewed(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(life.ca.issuance, "_commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            life.renew(life.old.id)
    life.after(minutes=16)
    assert Sweeper(life.ledger, clock=life.clock).run(context()).swept == 1

    assert life.renew(life.old.id).certificate.status is CertificateStatus.ISSUED


def test_a_renewal_is_not_handed_out_when_the_old_certificate_is_revoked_meanwhile(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = life.ca.issuance._sign

    def revoke_first(*arguments: Any) -> bytes:
        life.revoke(life.old.id, RevocationReason.KEY_COMPROMISE)
        return sign(*arguments)

    monkeypatch.setattr(life.ca.issuance, "_sign", revoke_first)

    assert refusal(lambda: life.renew(life.old.id)).code == "certificate_not_renewable"
    (new,) = [each for each in life.ca.certificates() if each.renews == life.old.id]
    assert (new.status, new.der is not None) == (CertificateStatus.REVOKED, True)


def test_a_refusing_backend_leaves_no_trace_on_the_old_certificate(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.pki.errors import BackendThrottled

    def refuse(*_: Any) -> Any:
        raise BackendThrottled("busy", timedelta(seconds=3))

    with monkeypatch.context() as patch:
        patch.setattr(life.ca.issuance, "_signing_key", refuse)
        assert refusal(lambda: life.renew(life.old.id)).code == "signing_throttled"

    assert replace(life.now(life.old), updated_at=life.old.updated_at) == life.old
    assert life.renew(life.old.id).certificate.status is CertificateStatus.ISSUED


def test_lists_show_who_renewed_whom(life: Life) -> None:
    new = life.renew(life.old.id).certificate
    life.replica.catch_up(context().deadline)

    found = life.replica.certificates(CertificateQuery(user_id=life.ada.id)).items

    assert [(each.id, each.renews, each.renewed_by) for each in found] == [
        (life.old.id, None, new.id),
        (new.id, life.old.id, None),
    ]
