"""The OCSP responder on a real ledger: what it says of certificates, and by which key."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponseStatus
from cryptography.x509.oid import ExtendedKeyUsageOID

from local.azurite.azurite import Azurite
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.certificate import (
    CertificateKind,
    CertificateStatus,
    PendingCertificate,
    RevocationBacklog,
    RevocationReason,
    SerialNumber,
)
from shared.directory.records.ocsp import OcspQuota
from shared.directory.records.user import EntraDeletion, User
from shared.directory.replica.queries import CertificateQuery
from shared.directory.tables import TableStore
from shared.pki.authority.issuer_certificate import IssuerPlan
from shared.pki.errors import BackendTimeout, BackendUnavailable
from shared.pki.keys import KeyType
from shared.pki.ocsp.responder import LIFE, OcspResponder
from shared.pki.ocsp.responder_certificate import QUOTA
from tests.support.crls import TestCrls, blob_store
from tests.support.ocsp import request_for, responder_of, serial_of
from tests.support.pki import SettableClock, TestCa, context, software_backend


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(datetime.now(UTC))


@pytest.fixture
def crls(tables: TableStore, tenant_id: str, azurite: Azurite, tmp_path: Path, clock: SettableClock) -> TestCrls:
    ledger = Ledger(tables, tenant_id, clock=clock)
    ca = TestCa.on(ledger, software_backend(tmp_path), clock=clock).initialize()
    return TestCrls.of(ca, blob_store(azurite), tmp_path / "replica", clock)


@pytest.fixture(params=[True, False], ids=["by replica", "by table"])
def responder(crls: TestCrls, request: pytest.FixtureRequest) -> OcspResponder:
    return responder_of(crls, replica=request.param)


def ask(responder: OcspResponder, crls: TestCrls, serial_number: int) -> ocsp.OCSPResponse:
    request = request_for(serial_number, crls.issuer)
    return ocsp.load_der_ocsp_response(responder.answer(crls.issuer.id, request).content)


def verified(response: ocsp.OCSPResponse, crls: TestCrls) -> x509.Certificate:
    """The responder's certificate, once its signature and its issuer's are checked."""
    (signer,) = response.certificates
    signer.verify_directly_issued_by(crls.issuer.certificate)
    key = signer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
    return signer


def test_good_revoked_held_and_unknown_are_told_apart(crls: TestCrls, responder: OcspResponder) -> None:
    good, pending = crls.issue(), crls.change(crls.issue(), status=CertificateStatus.PENDING, revoked_at=None)
    revoked, held = crls.revoke(crls.issue(), RevocationReason.KEY_COMPROMISE), crls.hold(crls.issue())
    plain = crls.revoke(crls.issue(), RevocationReason.UNSPECIFIED)

    replies = {each.id: ask(responder, crls, serial_of(each)) for each in (good, pending, revoked, held, plain)}

    assert replies[good.id].certificate_status is OCSPCertStatus.GOOD
    assert replies[pending.id].certificate_status is OCSPCertStatus.UNKNOWN
    assert ask(responder, crls, 4711).certificate_status is OCSPCertStatus.UNKNOWN
    assert replies[revoked.id].revocation_reason is x509.ReasonFlags.key_compromise
    assert replies[held.id].revocation_reason is x509.ReasonFlags.certificate_hold
    assert replies[plain.id].certificate_status is OCSPCertStatus.REVOKED
    assert replies[plain.id].revocation_reason is None
    assert revoked.revoked_at is not None
    assert replies[revoked.id].revocation_time_utc == revoked.revoked_at.replace(microsecond=0)
    for reply in replies.values():
        verified(reply, crls)


def test_a_reply_is_valid_for_an_hour_and_in_whole_seconds(crls: TestCrls, clock: SettableClock) -> None:
    reply = ask(responder_of(crls), crls, serial_of(crls.issue()))

    assert reply.this_update_utc == reply.produced_at_utc == clock.now.replace(microsecond=0)
    assert reply.next_update_utc == reply.this_update_utc + LIFE


def test_the_responder_s_certificate_is_a_delegated_one_for_a_day(crls: TestCrls, clock: SettableClock) -> None:
    signer = verified(ask(responder_of(crls), crls, 1), crls)

    extensions = signer.extensions
    usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.OCSP_SIGNING]
    assert extensions.get_extension_for_class(x509.OCSPNoCheck)
    assert signer.not_valid_after_utc - clock.now <= timedelta(hours=24)
    (record,) = crls.ca.certificates()
    assert record.kind is CertificateKind.OCSP_RESPONDER
    assert record.status is CertificateStatus.ISSUED and record.user_id is None
    assert int(record.serial_number, 16) == signer.serial_number
    assert list(crls.ca.ledger.scan(PendingCertificate)) == []


def test_responder_certificates_are_in_no_list_and_no_statistics(crls: TestCrls, clock: SettableClock) -> None:
    ask(responder_of(crls), crls, 1)

    assert crls.replica.certificates(CertificateQuery()).total == 0
    assert crls.replica.statistics(clock.now).certificates.total == 0


def test_threads_that_come_at_once_share_one_responder_certificate(crls: TestCrls) -> None:
    responder = responder_of(crls, pause=timedelta(minutes=1))
    statuses: list[OCSPResponseStatus] = []
    barrier = threading.Barrier(8)

    def client() -> None:
        barrier.wait()
        statuses.append(ask(responder, crls, 1).response_status)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [OCSPResponseStatus.SUCCESSFUL] * 8
    assert len(crls.ca.certificates()) == 1


def test_the_certificate_is_renewed_in_time_and_the_old_one_used_if_that_fails(
    crls: TestCrls, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    responder = responder_of(crls)
    first = verified(ask(responder, crls, 1), crls)
    clock.now += timedelta(hours=17)
    assert verified(ask(responder, crls, 1), crls) == first

    def down(*_: object) -> None:
        raise BackendUnavailable("The key vault is down.")

    clock.now += timedelta(hours=6)
    with monkeypatch.context() as broken:
        broken.setattr(crls.ca.authority, "signing_key", down)
        reply = ask(responder, crls, 1)
        assert verified(reply, crls) == first
        assert reply.next_update_utc is not None and reply.next_update_utc <= first.not_valid_after_utc
        clock.now += timedelta(hours=2)
        assert ask(responder, crls, 1).response_status is OCSPResponseStatus.TRY_LATER

    assert verified(ask(responder, crls, 1), crls) != first


def test_a_clock_that_steps_back_and_forth_does_no_harm(crls: TestCrls, clock: SettableClock) -> None:
    responder, revoked = responder_of(crls), crls.revoke(crls.issue())
    today = clock.now + timedelta(days=10)
    for moment in (today, today - timedelta(days=3), today):
        clock.now = moment

        reply = ask(responder, crls, serial_of(revoked))

        signer = verified(reply, crls)
        assert reply.certificate_status is OCSPCertStatus.REVOKED
        assert signer.not_valid_before_utc <= reply.this_update_utc == moment.replace(microsecond=0)
        assert reply.next_update_utc is not None and reply.next_update_utc <= signer.not_valid_after_utc


def test_failures_do_not_make_the_issuer_sign_at_the_public_s_pace(
    crls: TestCrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    responder, attempts = responder_of(crls, pause=timedelta(minutes=1)), []

    def down(*_: object) -> None:
        attempts.append(1)
        raise BackendUnavailable("The key vault is down.")

    monkeypatch.setattr(crls.ca.authority, "signing_key", down)

    replies = [ask(responder, crls, 1).response_status for _ in range(5)]

    assert replies == [OCSPResponseStatus.TRY_LATER] * 5
    assert len(attempts) == 1


def test_a_reservation_that_was_certainly_not_signed_is_taken_back(
    crls: TestCrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the sweeper would revoke it, and the CRL list a certificate that never was, at every failure."""

    def down(*_: object) -> None:
        raise BackendUnavailable("The key vault is down.")

    with monkeypatch.context() as patch:
        patch.setattr(crls.ca.authority, "signing_key", down)
        assert ask(responder_of(crls), crls, 1).response_status is OCSPResponseStatus.TRY_LATER

    assert crls.ca.certificates() == []
    assert list(crls.ca.ledger.scan(PendingCertificate)) == []
    assert list(crls.ca.ledger.scan(SerialNumber)) == []


def test_a_reservation_that_may_have_been_signed_is_left_to_the_sweeper(
    crls: TestCrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise BackendTimeout("The key vault did not answer.")

    monkeypatch.setattr("shared.pki.ocsp.responder_certificate.sign", lost)

    assert ask(responder_of(crls), crls, 1).response_status is OCSPResponseStatus.TRY_LATER

    (pending,) = crls.ca.certificates()
    assert pending.status is CertificateStatus.PENDING


def test_all_processes_together_have_a_quota(crls: TestCrls, clock: SettableClock) -> None:
    quota = OcspQuota(issuer_id=crls.issuer.id, since=datetime.now(UTC), count=QUOTA)
    crls.ca.ledger.commit(Request("test", context(), lambda tx: tx.put(quota)), context().deadline)

    assert ask(responder_of(crls), crls, 1).response_status is OCSPResponseStatus.TRY_LATER
    assert crls.ca.certificates() == []


def test_a_foreign_issuer_gets_unauthorized(crls: TestCrls) -> None:
    responder, first = responder_of(crls), crls.issuer
    plan = IssuerPlan(common_name="Contoso Users CA 2", key_type=KeyType.P_256)
    second = crls.ca.authority.issuer(crls.ca.ceremony.roll_over(plan, context()).id)
    request = request_for(1, second)

    assert _status(responder, second.id, request) is OCSPResponseStatus.SUCCESSFUL
    assert _status(responder, first.id, request) is OCSPResponseStatus.UNAUTHORIZED
    assert _status(responder, "0" * 16, request) is OCSPResponseStatus.UNAUTHORIZED
    assert _status(responder, first.id, request_for(1, first, hashes.SHA512())) is OCSPResponseStatus.UNAUTHORIZED


def _status(responder: OcspResponder, issuer_id: str, request: bytes) -> OCSPResponseStatus:
    return ocsp.load_der_ocsp_response(responder.answer(issuer_id, request).content).response_status


def test_a_serial_number_of_another_issuer_is_unknown(crls: TestCrls, responder: OcspResponder) -> None:
    certificate = crls.issue()
    plan = IssuerPlan(common_name="Contoso Users CA 2", key_type=KeyType.P_256)
    second = crls.ca.authority.issuer(crls.ca.ceremony.roll_over(plan, context()).id)

    reply = responder.answer(second.id, request_for(serial_of(certificate), second))

    assert ocsp.load_der_ocsp_response(reply.content).certificate_status is OCSPCertStatus.UNKNOWN


def test_certificates_of_a_user_in_the_backlog_are_revoked(crls: TestCrls, responder: OcspResponder) -> None:
    certificate = crls.issue()

    def decide(tx: Transaction) -> None:
        user = tx.get(User, f"user|{certificate.user_id:010d}")
        assert user is not None
        tx.put(replace(user, is_active=False, deletion=EntraDeletion.HARD, revocation_pending=True))
        tx.put(RevocationBacklog(user_id=user.id))

    crls.ca.ledger.commit(Request("user.synced", context(), decide), context().deadline)

    reply = ask(responder, crls, serial_of(certificate))

    assert reply.revocation_reason is x509.ReasonFlags.cessation_of_operation


def test_replies_are_kept_for_seconds_unless_they_have_a_nonce(crls: TestCrls) -> None:
    responder = responder_of(crls)
    responder._cached_for = 60.0
    request = request_for(1, crls.issuer)

    first, again = (responder.answer(crls.issuer.id, request) for _ in range(2))
    nonces = [responder.answer(crls.issuer.id, request_for(1, crls.issuer, nonce=b"n" * 32)) for _ in range(2)]

    assert first.content == again.content and first.cacheable
    assert nonces[0].content != nonces[1].content and not nonces[0].cacheable
    assert nonces[0].cache_control == "no-store"
