"""What happens when something goes wrong, or somebody else acts, between two steps of the issuance cycle."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from shared.context import Deadline
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    CertificateType,
    PendingCertificate,
    RevocationReason,
    RevocationSource,
    SerialNumber,
    UserCertificate,
)
from shared.directory.records.user import EntraDeletion
from shared.directory.replica.queries import CertificateQuery
from shared.directory.replica.replica import Replica
from shared.directory.tables import TableStore
from shared.errors import AppError
from shared.pki.authority.authority import Authority
from shared.pki.authority.issuer_certificate import IssuerPlan
from shared.pki.errors import (
    BackendMisconfigured,
    BackendThrottled,
    BackendUnavailable,
    ClockSkewed,
    IssuanceOvertaken,
    IssuerChanged,
    IssuerKeyMismatch,
    SignatureRefused,
    SigningTooLate,
    UserChanged,
)
from shared.pki.issuance.cycle import Issuance
from shared.pki.issuance.sweeper import Sweeper, SweepReport
from shared.pki.keys import KeyType, generate_key, sign
from tests.support.pki import PASSPHRASE, SettableClock, TestCa, context, order
from tests.support.signing_backends import HookedBackend

START = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


class Stage:
    """A CA whose clock stands still and whose signatures can be tampered with; `user` is who is issued to."""

    def __init__(self, tables: TableStore, tenant_id: str, folder: Path) -> None:
        self.clock = SettableClock(START)
        self.backend = HookedBackend(folder / "issuer.pem", PASSPHRASE)
        self.ledger = Ledger(tables, tenant_id, clock=self.clock)
        self.ca = TestCa.on(self.ledger, self.backend, clock=self.clock).initialize()
        self.user = self.ca.add_user()
        self.sweeper = Sweeper(self.ledger, clock=self.clock)

    def at_signature(self, act: Callable[[], object], *, before: bool = False) -> None:
        """Once: does `act` when the next certificate has been (or is about to be) signed, before anybody knows."""

        def hook(_data: bytes, sign_it: Callable[[], bytes]) -> bytes:
            self.backend.on_sign = None
            if before:
                act()
            signature = sign_it()
            if not before:
                act()
            return signature

        self.backend.on_sign = hook

    def fail(self, error: AppError) -> None:
        """From now on the backend answers with the error."""

        def hook(_data: bytes, _sign_it: Callable[[], bytes]) -> bytes:
            raise error

        self.backend.on_sign = hook

    def refuse(self, error: type[AppError] | AppError) -> AppError:
        with pytest.raises(error if isinstance(error, type) else type(error)) as caught:
            self.ca.issuance.issue(order(self.user), context())
        return caught.value

    def only_certificate(self) -> Certificate:
        (certificate,) = self.ca.certificates()
        return certificate

    def pass_time(self, **time: float) -> None:
        self.clock.now += timedelta(**time)


def certainly_unsigned() -> BackendThrottled:
    error = BackendThrottled("Too many signatures.", timedelta(seconds=7))
    error.nothing_signed = True
    return error


@pytest.fixture
def stage(tables: TableStore, tenant_id: str, tmp_path: Path) -> Stage:
    return Stage(tables, tenant_id, tmp_path)


def test_what_is_about_to_be_signed_is_in_the_directory_already(stage: Stage) -> None:
    seen: list[tuple[CertificateStatus, bytes | None]] = []

    def look(data: bytes, sign_it: Callable[[], bytes]) -> bytes:
        record = stage.only_certificate()
        assert record.tbs == data
        seen.append((record.status, record.der))
        return sign_it()

    stage.backend.on_sign = look
    stage.ca.issuance.issue(order(stage.user), context())

    assert seen == [(CertificateStatus.PENDING, None)]


@pytest.mark.parametrize("wrong", ["of another key", "flipped bit", "empty", "of other bytes"])
def test_a_wrong_signature_is_never_handed_out(stage: Stage, wrong: str) -> None:
    def tamper(data: bytes, sign_it: Callable[[], bytes]) -> bytes:
        signature = sign_it()
        return {
            "of another key": sign(generate_key(KeyType.P_256), data),
            "flipped bit": signature[:-1] + bytes([signature[-1] ^ 1]),
            "empty": b"",
            "of other bytes": sign(generate_key(KeyType.P_256), data + b"x"),
        }[wrong]

    stage.backend.on_sign = tamper

    assert stage.refuse(SignatureRefused).status == 502
    assert stage.only_certificate().status is CertificateStatus.PENDING


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BackendThrottled("Too many signatures.", timedelta(seconds=7)), 429),
        (BackendUnavailable("The vault is down."), 503),
        (BackendMisconfigured("The key is disabled."), 503),
    ],
)
def test_an_error_of_the_backend_reaches_the_caller_as_it_is(stage: Stage, error: AppError, status: int) -> None:
    stage.fail(error)

    caught = stage.refuse(error)
    assert caught is error
    assert caught.status == status
    assert stage.only_certificate().status is CertificateStatus.PENDING


def test_what_was_certainly_not_signed_leaves_nothing_but_the_log(stage: Stage) -> None:
    stage.fail(certainly_unsigned())
    stage.refuse(BackendThrottled)

    for kind in (Certificate, PendingCertificate, SerialNumber, UserCertificate):
        assert list(stage.ledger.scan(kind)) == []
    actions = [operation.action for row in stage.ledger.log(0) for operation in row.operations]
    assert actions[-2:] == ["certificate.reserved", "certificate.withdrawn"]
    stage.pass_time(days=1)
    assert stage.sweeper.run(context()).swept == 0


def test_the_lists_forget_a_reservation_that_was_taken_back(stage: Stage, tmp_path: Path) -> None:
    replica = Replica(stage.ledger, tmp_path / "replica", stage.ledger.tenant_id)

    def totals() -> tuple[int, int]:
        replica.prepare(context().deadline)
        statistics = replica.statistics(stage.clock.now)
        return replica.certificates(CertificateQuery()).total, statistics.certificates.total

    def look_and_fail(_data: bytes, _sign_it: Callable[[], bytes]) -> bytes:
        assert totals() == (1, 1)
        raise certainly_unsigned()

    stage.backend.on_sign = look_and_fail
    stage.refuse(BackendThrottled)

    assert totals() == (0, 0)


def test_the_same_request_succeeds_at_once_after_one_that_was_certainly_not_signed(stage: Stage) -> None:
    wanted = order(stage.user)
    stage.fail(certainly_unsigned())
    with pytest.raises(BackendThrottled):
        stage.ca.issuance.issue(wanted, context(), idempotency_key="once")
    stage.backend.on_sign = None

    issued = stage.ca.issuance.issue(wanted, context(), idempotency_key="once")

    assert not issued.replayed
    assert stage.only_certificate().status is CertificateStatus.ISSUED


def test_what_was_revoked_before_it_could_be_taken_back_stays_revoked(stage: Stage) -> None:
    def sweep_and_fail(_data: bytes, _sign_it: Callable[[], bytes]) -> bytes:
        stage.pass_time(minutes=15)
        assert stage.sweeper.run(context()).swept == 1
        raise certainly_unsigned()

    stage.backend.on_sign = sweep_and_fail
    stage.refuse(BackendThrottled)

    assert stage.only_certificate().status is CertificateStatus.REVOKED


def test_a_resumed_reservation_is_not_taken_back_as_the_first_process_may_have_signed(stage: Stage) -> None:
    wanted = order(stage.user)
    for error in (BackendUnavailable("The connection broke."), certainly_unsigned()):
        stage.fail(error)
        with pytest.raises(type(error)):
            stage.ca.issuance.issue(wanted, context(), idempotency_key="once")
        stage.pass_time(seconds=61)

    assert stage.only_certificate().status is CertificateStatus.PENDING


def test_a_reservation_that_cannot_be_taken_back_does_not_hide_the_reason(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.pki.issuance.cycle.WITHDRAWING_TIME", timedelta(0))
    stage.fail(certainly_unsigned())

    assert stage.refuse(BackendThrottled).status == 429
    assert stage.only_certificate().status is CertificateStatus.PENDING


def test_nothing_is_signed_after_the_reservation_ran_out(tables: TableStore, tenant_id: str, tmp_path: Path) -> None:
    stage = Stage(tables, tenant_id, tmp_path)
    late = TestCa.on(stage.ledger, stage.backend, clock=lambda: START + timedelta(seconds=60))

    with pytest.raises(SigningTooLate) as caught:
        late.issuance.issue(order(stage.user), context())

    assert caught.value.status == 504
    assert stage.ca.certificates() == []


def test_what_is_signed_in_time_is_recorded_although_the_callers_time_is_up(stage: Stage) -> None:
    asked = replace(context(), deadline=Deadline.after(timedelta(seconds=2)))
    stage.at_signature(lambda: time.sleep(asked.deadline.remaining))

    issued = stage.ca.issuance.issue(order(stage.user), asked)

    assert asked.deadline.expired
    assert issued.certificate.status is CertificateStatus.ISSUED


def test_the_sweeper_revokes_what_stayed_pending_for_15_minutes(stage: Stage) -> None:
    def fail(_data: bytes, sign_it: Callable[[], bytes]) -> bytes:
        sign_it()
        raise BackendUnavailable("The connection broke after the signature.")

    stage.backend.on_sign = fail
    stage.refuse(BackendUnavailable)

    stage.pass_time(minutes=14, seconds=59)
    assert stage.sweeper.run(context()) == SweepReport(swept=0, waiting=1, failed=0)
    stage.pass_time(seconds=1)
    assert stage.sweeper.run(context()) == SweepReport(swept=1, waiting=0, failed=0)
    assert stage.sweeper.run(context()) == SweepReport(swept=0, waiting=0, failed=0)

    record = stage.only_certificate()
    assert record.status is CertificateStatus.REVOKED
    assert (record.revocation_source, record.revocation_reason) == (
        RevocationSource.SWEEPER,
        RevocationReason.UNSPECIFIED,
    )
    assert (record.revoked_at, record.issued_at) == (stage.clock.now, None)
    assert record.tbs is not None
    assert list(stage.ledger.scan(PendingCertificate)) == []


def test_the_sweeper_leaves_issued_certificates_alone(stage: Stage) -> None:
    issued = stage.ca.issuance.issue(order(stage.user), context())
    stage.pass_time(days=1)

    assert stage.sweeper.run(context()) == SweepReport(swept=0, waiting=0, failed=0)
    assert stage.ca.certificate(issued.certificate.id).status is CertificateStatus.ISSUED


def test_a_certificate_swept_while_being_signed_is_kept_as_revoked_and_not_handed_out(stage: Stage) -> None:
    def sweep() -> None:
        stage.pass_time(minutes=15)
        assert stage.sweeper.run(context()).swept == 1

    stage.at_signature(sweep)

    assert stage.refuse(IssuanceOvertaken).status == 503
    record = stage.only_certificate()
    assert record.status is CertificateStatus.REVOKED
    assert record.revocation_source is RevocationSource.SWEEPER
    assert record.der is not None
    assert x509.load_der_x509_certificate(record.der).serial_number == int(record.serial_number, 16)


@pytest.mark.parametrize("before", [True, False], ids=["before the signature", "after the signature"])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"is_active": False, "account_enabled": False}, "user_inactive"),
        ({"is_active": False, "deletion": EntraDeletion.SOFT}, "user_deleted"),
        ({"revocation_pending": True}, "user_inactive"),
        ({"user_principal_name": "somebody.else@contoso.example"}, "user_changed"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_user_who_loses_the_right_meanwhile_gets_nothing(
    stage: Stage, change: dict[str, object], error: str, before: bool
) -> None:
    stage.at_signature(lambda: stage.ca.change_user(stage.user, **change), before=before)

    assert stage.refuse(AppError).code == error
    record = stage.only_certificate()
    assert record.status is CertificateStatus.REVOKED
    assert record.revocation_source is RevocationSource.DIRECTORY
    assert record.der is not None
    assert record.issued_at is None
    assert list(stage.ledger.scan(PendingCertificate)) == []


def test_a_user_who_joins_a_protected_group_meanwhile_gets_nothing(stage: Stage) -> None:
    group = "aaaaaaaa-0000-4000-8000-000000000001"
    stage.ca = TestCa.on(
        stage.ledger,
        stage.backend,
        clock=stage.clock,
        policy=stage.ca.with_policy(denied_group_ids=frozenset({group})).policy,
    )
    stage.at_signature(lambda: stage.ca.change_user(stage.user, group_ids=(group,)))

    assert stage.refuse(AppError).code == "user_protected"
    assert stage.only_certificate().status is CertificateStatus.REVOKED


def test_a_user_changed_between_reading_and_reserving_gets_no_certificate_of_the_old_name(stage: Stage) -> None:
    class Renaming(type(stage.ca.issuance)):  # type: ignore[misc]
        def _reserve(self, *arguments: object) -> Certificate:
            stage.ca.change_user(stage.user, user_principal_name="renamed@contoso.example")
            reserved: Certificate = super()._reserve(*arguments)
            return reserved

    renaming = TestCa.on(stage.ledger, stage.backend, clock=stage.clock, issuance=Renaming)
    with pytest.raises(UserChanged):
        renaming.issuance.issue(order(stage.user), context())

    assert stage.ca.certificates() == []


def test_a_rollover_meanwhile_refuses_what_the_old_issuer_signed(stage: Stage) -> None:
    plan = IssuerPlan(common_name="Contoso Users CA G2", key_type=KeyType.P_384)
    successor = stage.ca.ceremony.roll_over(plan, context())
    stage.at_signature(lambda: stage.ca.ceremony.activate(successor.id, context()))

    stage.refuse(IssuerChanged)

    assert stage.only_certificate().status is CertificateStatus.REVOKED
    assert stage.ca.issuance.issue(order(stage.user), context()).certificate.issuer_id == successor.id


def test_another_key_than_the_issuers_never_signs(stage: Stage, tmp_path: Path) -> None:
    class Confused(HookedBackend):
        """Answers for a pinned reference with the key that it happens to have: a latest version, say."""

        def public_key(self, reference: str, deadline: object) -> object:  # type: ignore[override]
            return generate_key(KeyType.P_256).public_key()

    confused = TestCa.on(stage.ledger, Confused(tmp_path / "issuer.pem", PASSPHRASE), clock=stage.clock)

    with pytest.raises(IssuerKeyMismatch):
        confused.issuance.issue(order(stage.user), context())

    assert stage.ca.certificates() == []


@pytest.mark.parametrize("minutes", [5.1, -5.1])
def test_a_machine_whose_clock_is_off_signs_nothing(stage: Stage, minutes: float) -> None:
    skew = timedelta(minutes=minutes)
    authority = Authority(stage.ledger, stage.backend, "software", clock_skew=lambda: skew)

    with pytest.raises(ClockSkewed, match="306 s off"):
        Issuance(stage.ledger, authority, stage.ca.policy, clock=stage.clock).issue(order(stage.user), context())

    assert stage.ca.certificates() == []


def test_an_issuer_of_another_backend_is_not_used(stage: Stage) -> None:
    moved = TestCa.on(stage.ledger, stage.backend, backend_name="key_vault", clock=stage.clock)

    with pytest.raises(BackendMisconfigured, match="CA_SIGNING_BACKEND"):
        moved.issuance.issue(order(stage.user), context())


def test_200_parallel_requests_lose_nothing_and_share_nothing(ca: TestCa) -> None:
    users = [ca.add_user() for _ in range(8)]
    key_pool = [generate_key(KeyType.P_256) for _ in range(8)]

    def issue(number: int) -> int:
        wanted = order(users[number % 8], key_pool[number % 8], certificate_type=list(CertificateType)[number % 3])
        return ca.issuance.issue(wanted, context(f"caller {number % 5}")).certificate.id

    with ThreadPoolExecutor(32) as pool:
        ids = list(pool.map(issue, range(200)))

    records = ca.certificates()
    assert sorted(ids) == [record.id for record in records] == list(range(1, 201))
    assert len({record.serial_number for record in records}) == 200
    assert {record.status for record in records} == {CertificateStatus.ISSUED}
    for record in records:
        assert record.der is not None
        assert int(record.serial_number, 16) == x509.load_der_x509_certificate(record.der).serial_number
    assert list(ca.ledger.scan(PendingCertificate)) == []
