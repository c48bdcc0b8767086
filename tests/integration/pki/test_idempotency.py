"""`Idempotency-Key`: repeated requests get one certificate, whatever happened to the first."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.directory.ledger import Ledger
from shared.directory.records.certificate import CertificateStatus, RevocationSource
from shared.directory.records.idempotency import IdempotentRequest
from shared.directory.tables import TableStore
from shared.errors import AppError
from shared.pki.errors import BackendUnavailable, IdempotencyInFlight, IdempotencyKeyReused, UserInactive
from shared.pki.issuance.order import Issued, Order
from shared.pki.issuance.sweeper import Sweeper
from tests.support.pki import PASSPHRASE, SettableClock, TestCa, context, order
from tests.support.signing_backends import HookedBackend

START = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
KEY = "4f9d7c1e-order-of-ada"


class Stage:
    def __init__(self, tables: TableStore, tenant_id: str, folder: Path) -> None:
        self.clock = SettableClock(START)
        self.backend = HookedBackend(folder / "issuer.pem", PASSPHRASE)
        self.ledger = Ledger(tables, tenant_id, clock=self.clock)
        self.ca = TestCa.on(self.ledger, self.backend, clock=self.clock).initialize()
        self.user = self.ca.add_user()

    def issue(self, wanted: Order, key: str = KEY, caller: str = "portal") -> Issued:
        return self.ca.issuance.issue(wanted, context(caller), idempotency_key=key)

    def fail_once(self, *, after_signing: bool) -> list[bytes]:
        """The backend breaks at the next signature; what was to be signed each time is in the list."""
        seen: list[bytes] = []

        def hook(data: bytes, sign_it: Callable[[], bytes]) -> bytes:
            seen.append(data)
            signature = sign_it() if after_signing or len(seen) > 1 else b""
            if len(seen) == 1:
                raise BackendUnavailable("The connection broke.")
            return signature

        self.backend.on_sign = hook
        return seen

    def pass_time(self, **time: float) -> None:
        self.clock.now += timedelta(**time)


@pytest.fixture
def stage(tables: TableStore, tenant_id: str, tmp_path: Path) -> Stage:
    return Stage(tables, tenant_id, tmp_path)


def test_a_repeated_request_gets_the_same_certificate_and_no_key(stage: Stage) -> None:
    wanted = order(stage.user, key_size=2048)
    first = stage.issue(wanted)

    again = stage.issue(wanted)

    assert (first.replayed, again.replayed) == (False, True)
    assert again.pem == first.pem
    assert again.certificate == first.certificate
    assert first.private_key_pem is not None
    assert (again.private_key_pem, again.pkcs12, again.pkcs12_password) == (None, None, None)
    assert again.user_ids == first.user_ids
    assert len(stage.ca.certificates()) == 1


def test_a_replay_tells_what_became_of_the_certificate(stage: Stage) -> None:
    wanted = order(stage.user)
    stage.issue(wanted)
    stage.ca.change_user(stage.user, is_active=False)

    assert stage.issue(wanted).replayed
    with pytest.raises(UserInactive):
        stage.issue(wanted, key="another key")


def test_the_same_key_with_another_order_is_refused(stage: Stage) -> None:
    wanted = order(stage.user)
    stage.issue(wanted)

    for other in (replace(wanted, validity_days=30), order(stage.user), order(stage.ca.add_user())):
        with pytest.raises(IdempotencyKeyReused) as caught:
            stage.issue(other)
        assert (caught.value.status, caught.value.code) == (409, "idempotency_key_reused")


def test_the_password_is_no_part_of_what_is_compared_or_stored(stage: Stage) -> None:
    wanted = order(stage.user, key_size=2048, pkcs12_password="the first password")
    stage.issue(wanted)

    assert stage.issue(replace(wanted, pkcs12_password="another password")).replayed
    (row,) = stage.ledger.scan(IdempotentRequest)
    assert replace(wanted, pkcs12_password=None).sha256 == row.body_sha256
    assert KEY not in repr(row)


def test_a_key_is_its_callers_own(stage: Stage) -> None:
    first = stage.issue(order(stage.user), caller="portal")

    second = stage.issue(order(stage.user), caller="another portal")

    assert not second.replayed
    assert second.certificate.id != first.certificate.id


def test_a_key_may_be_used_again_after_24_hours(stage: Stage) -> None:
    first = stage.issue(order(stage.user))
    stage.pass_time(hours=23, minutes=59)
    with pytest.raises(IdempotencyKeyReused):
        stage.issue(order(stage.user))

    stage.pass_time(minutes=1)

    assert stage.issue(order(stage.user)).certificate.id != first.certificate.id


def test_the_sweeper_forgets_used_keys_after_24_hours(stage: Stage) -> None:
    sweeper = Sweeper(stage.ledger, clock=stage.clock)
    stage.issue(order(stage.user), key="one")
    stage.pass_time(hours=12)
    stage.issue(order(stage.user), key="two")
    assert sweeper.run(context()).forgotten == 0

    stage.pass_time(hours=12)

    assert sweeper.run(context()).forgotten == 1
    assert sweeper.run(context()).forgotten == 0
    assert len(list(stage.ledger.scan(IdempotentRequest))) == 1
    assert len(stage.ca.certificates()) == 2


def test_a_request_still_in_flight_is_answered_with_when_to_come_back(stage: Stage) -> None:
    stage.fail_once(after_signing=True)
    wanted = order(stage.user)
    with pytest.raises(BackendUnavailable):
        stage.issue(wanted)

    for passed, retry_after in ((0, 5), (58, 2)):
        stage.pass_time(seconds=passed)
        with pytest.raises(IdempotencyInFlight) as caught:
            stage.issue(wanted)
        assert caught.value.status == 409
        assert caught.value.retry_after == timedelta(seconds=retry_after)


@pytest.mark.parametrize("after_signing", [True, False])
def test_a_csr_request_whose_process_died_is_resumed_with_the_same_bytes(stage: Stage, after_signing: bool) -> None:
    signed = stage.fail_once(after_signing=after_signing)
    wanted = order(stage.user)
    with pytest.raises(BackendUnavailable):
        stage.issue(wanted)
    stage.pass_time(seconds=60)

    resumed = stage.issue(wanted)

    assert signed[0] == signed[1]
    (record,) = stage.ca.certificates()
    assert record == resumed.certificate
    assert record.status is CertificateStatus.ISSUED
    assert not resumed.replayed
    assert stage.issue(wanted).replayed


def test_only_one_of_two_callers_resumes(stage: Stage) -> None:
    stage.fail_once(after_signing=True)
    wanted = order(stage.user)
    with pytest.raises(BackendUnavailable):
        stage.issue(wanted)
    stage.pass_time(seconds=60)
    told: list[str] = []

    def second_caller(_data: bytes, sign_it: Callable[[], bytes]) -> bytes:
        with pytest.raises(IdempotencyInFlight) as caught:
            stage.issue(wanted)
        told.append(caught.value.code)
        return sign_it()

    stage.backend.on_sign = second_caller
    stage.issue(wanted)

    assert told == ["idempotency_in_flight"]


def test_a_resumed_request_is_not_swept_while_it_is_being_signed(stage: Stage) -> None:
    stage.fail_once(after_signing=False)
    wanted = order(stage.user)
    with pytest.raises(BackendUnavailable):
        stage.issue(wanted)
    stage.pass_time(minutes=14, seconds=30)
    sweeper = Sweeper(stage.ledger, clock=stage.clock)

    def sweep(_data: bytes, sign_it: Callable[[], bytes]) -> bytes:
        stage.pass_time(seconds=45)
        assert sweeper.run(context()).swept == 0
        return sign_it()

    stage.backend.on_sign = sweep

    assert stage.issue(wanted).certificate.status is CertificateStatus.ISSUED


def test_a_request_for_a_server_key_is_never_resumed_but_made_anew(stage: Stage) -> None:
    signed = stage.fail_once(after_signing=True)
    wanted = order(stage.user, key_size=2048)
    with pytest.raises(BackendUnavailable):
        stage.issue(wanted)
    stage.pass_time(seconds=60)

    issued = stage.issue(wanted)

    lost, anew = stage.ca.certificates()
    assert signed[0] != signed[1]
    assert (lost.status, lost.revocation_source) == (CertificateStatus.REVOKED, RevocationSource.SWEEPER)
    assert anew == issued.certificate
    assert issued.private_key_pem is not None


def test_a_request_that_was_swept_is_made_anew(stage: Stage) -> None:
    stage.fail_once(after_signing=True)
    wanted = order(stage.user)
    with pytest.raises(BackendUnavailable):
        stage.issue(wanted)
    stage.pass_time(minutes=16)
    assert Sweeper(stage.ledger, clock=stage.clock).run(context()).swept == 1

    issued = stage.issue(wanted)

    assert [record.status for record in stage.ca.certificates()] == [
        CertificateStatus.REVOKED,
        CertificateStatus.ISSUED,
    ]
    assert issued.certificate.id == 2


def test_a_request_older_than_15_minutes_is_not_resumed_even_if_not_swept_yet(stage: Stage) -> None:
    stage.fail_once(after_signing=True)
    wanted = order(stage.user)
    with pytest.raises(BackendUnavailable):
        stage.issue(wanted)
    stage.pass_time(minutes=15)

    assert stage.issue(wanted).certificate.id == 2
    assert stage.ca.certificate(1).status is CertificateStatus.REVOKED


def test_a_user_disabled_meanwhile_is_not_issued_to_by_resuming(stage: Stage) -> None:
    stage.fail_once(after_signing=True)
    wanted = order(stage.user)
    with pytest.raises(BackendUnavailable):
        stage.issue(wanted)
    stage.pass_time(seconds=60)
    stage.ca.change_user(stage.user, is_active=False)

    with pytest.raises(UserInactive):
        stage.issue(wanted)

    assert stage.ca.certificate(1).status is CertificateStatus.PENDING


def test_of_parallel_requests_with_one_key_one_issues(ca: TestCa) -> None:
    wanted = order(ca.add_user())

    def issue(_number: int) -> Issued | AppError:
        try:
            return ca.issuance.issue(wanted, context(), idempotency_key=KEY)
        except AppError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(issue, range(16)))

    (record,) = ca.certificates()
    issued = [answer for answer in answers if isinstance(answer, Issued)]
    assert {answer.certificate.id for answer in issued} == {record.id}
    assert sum(not answer.replayed for answer in issued) == 1
    refused = {answer.code for answer in answers if isinstance(answer, AppError)}
    assert refused <= {"idempotency_in_flight"}
