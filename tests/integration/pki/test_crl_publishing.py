"""CRLs on a real ledger and real blobs: what is in them, when they are made, and what their numbers do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from local.azurite.azurite import Azurite
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.certificate import (
    CertificateStatus,
    RevocationBacklog,
    RevocationReason,
)
from shared.directory.records.user import EntraDeletion, User
from shared.directory.tables import TableStore
from shared.pki.authority.issuer_certificate import IssuerPlan
from shared.pki.crl.errors import CrlNotPublished, CrlNumberUsed
from shared.pki.crl.publisher import KEPT
from shared.pki.crl.revocation_list import CODE_SIGNING_RETENTION, LIFE
from shared.pki.crl.store import crl_folder, crl_name
from shared.pki.errors import SigningTooLate
from shared.pki.issuance.sweeper import Sweeper
from shared.pki.keys import KeyType, generate_key
from shared.pki.ocsp.codec import Revoked
from shared.pki.ocsp.statuses import OcspStatuses
from shared.pki.revocation.departures import AT_ONCE, DeparturePolicy, Departures
from shared.pki.revocation.revocation import Revocation
from shared.pki.revocation.upkeep import RevocationUpkeep
from tests.support.crls import TestCrls, blob_store, number_of, reasons
from tests.support.pki import SettableClock, TestCa, context, order

EXPIRED_CERTS_ON_CRL = x509.ObjectIdentifier("2.5.29.60")


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def crls(ca: TestCa, azurite: Azurite, tmp_path: Path, clock: SettableClock) -> TestCrls:
    return TestCrls.of(ca, blob_store(azurite), tmp_path / "replica", clock)


def test_a_new_issuer_has_no_crl_until_the_timer_ran(crls: TestCrls) -> None:
    with pytest.raises(CrlNotPublished):
        crls.store.current(crls.issuer.id)

    (publication,) = crls.publish_due()

    assert publication.published
    crl = crls.current()
    assert list(crl) == [] and number_of(crl) == 1
    assert crl.is_signature_valid(crls.issuer.public_key)
    assert crl.next_update_utc == crl.last_update_utc + LIFE


def test_revoked_and_held_certificates_are_listed_with_their_reasons(crls: TestCrls, clock: SettableClock) -> None:
    compromised = crls.revoke(crls.issue(), RevocationReason.KEY_COMPROMISE)
    unspecified = crls.revoke(crls.issue(), RevocationReason.UNSPECIFIED)
    held = crls.hold(crls.issue())
    good = crls.issue()
    clock.now += timedelta(seconds=5)

    crls.publish()

    crl = crls.current()
    assert reasons(crl) == {
        compromised.serial_number: "keyCompromise",
        unspecified.serial_number: "unspecified",
        held.serial_number: "certificateHold",
    }
    entry = crl.get_revoked_certificate_by_serial_number(int(compromised.serial_number, 16))
    assert entry is not None and compromised.revoked_at is not None
    assert entry.revocation_date_utc == compromised.revoked_at.replace(microsecond=0)
    assert crl.get_revoked_certificate_by_serial_number(int(good.serial_number, 16)) is None


def test_a_record_on_hold_counts_as_certificate_hold_whatever_reason_it_has(crls: TestCrls) -> None:
    held = crls.change(crls.issue(), status=CertificateStatus.HELD)

    crls.publish()

    assert reasons(crls.current()) == {held.serial_number: "certificateHold"}


def test_a_reservation_that_the_sweeper_gave_up_is_listed(
    crls: TestCrls, tables: TableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise SigningTooLate

    monkeypatch.setattr(crls.ca.issuance, "_sign", die)
    with pytest.raises(SigningTooLate):
        crls.issue()
    crls.publish()
    assert reasons(crls.current()) == {}

    def later() -> datetime:
        return datetime.now(UTC) + timedelta(minutes=16)

    assert Sweeper(Ledger(tables, crls.ca.ledger.tenant_id, clock=later), clock=later).run(context()).swept == 1
    crls.publish_due()

    (swept,) = crls.ca.certificates()
    assert reasons(crls.current()) == {swept.serial_number: "unspecified"}


def test_a_lifted_hold_leaves_the_crl(crls: TestCrls) -> None:
    held = crls.hold(crls.issue())
    crls.publish()
    crls.release(held)

    (publication,) = crls.publish_due()

    assert publication.published
    assert reasons(crls.current()) == {}
    assert number_of(crls.current()) == 2


def test_nothing_is_published_while_the_same_certificates_are_revoked(crls: TestCrls, clock: SettableClock) -> None:
    crls.revoke(crls.issue())
    crls.publish()
    crls.issue()
    clock.now += timedelta(minutes=57)

    assert [each.published for each in crls.publish_due()] == [False]
    assert [each.published for each in crls.publish_due()] == [False]

    clock.now += timedelta(minutes=2)
    assert [each.published for each in crls.publish_due()] == [True]
    assert crls.pointer().number == 2


def test_all_revocations_since_the_last_run_go_into_one_crl(crls: TestCrls) -> None:
    certificates = [crls.issue() for _ in range(5)]
    crls.publish()
    for certificate in certificates:
        crls.revoke(certificate)

    crls.publish_due()
    crls.publish_due()

    assert crls.pointer().number == 2
    assert len(reasons(crls.current())) == 5


def test_an_expired_entry_stays_for_one_crl_after_its_end(crls: TestCrls, clock: SettableClock) -> None:
    revoked = crls.revoke(crls.issue())
    end = revoked.not_after
    listed = []
    for moment in (end - timedelta(hours=1), end + timedelta(hours=1), end + timedelta(hours=2)):
        clock.now = moment.replace(microsecond=0)
        crls.publish()
        listed.append(revoked.serial_number in reasons(crls.current()))

    assert listed == [True, True, False]


def test_a_code_signing_entry_stays_ten_years_and_the_crl_says_so(crls: TestCrls, clock: SettableClock) -> None:
    without = crls.publish()
    assert EXPIRED_CERTS_ON_CRL not in {extension.oid for extension in crls.current().extensions}
    revoked = crls.revoke(crls.issue(certificate_type="code_signing"))
    listed = []
    last = revoked.not_after + CODE_SIGNING_RETENTION
    for moment in (clock.now, last - timedelta(days=1), last + timedelta(days=1), last + timedelta(days=2)):
        clock.now = moment.replace(microsecond=0)
        crls.publish()
        listed.append(revoked.serial_number in reasons(crls.current()))

    assert without.published
    assert listed == [True, True, True, False]
    extension = crls.current().extensions.get_extension_for_oid(EXPIRED_CERTS_ON_CRL)
    assert not extension.critical
    since = datetime.strptime(extension.value.public_bytes()[2:].decode(), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    assert since == clock.now - CODE_SIGNING_RETENTION


def test_certificates_of_a_user_in_the_backlog_count_as_the_policy_says(crls: TestCrls) -> None:
    """The user was deleted for good and has more certificates than a transaction takes: no record says so yet."""
    user = crls.ca.add_user()
    certificates = [crls.ca.issuance.issue(order(user), context()).certificate for _ in range(3)]
    earlier = crls.hold(certificates[0])

    def decide(tx: Transaction) -> None:
        current = tx.get(User, user.key)
        assert current is not None
        tx.put(replace(current, is_active=False, deletion=EntraDeletion.HARD, revocation_pending=True))
        tx.put(RevocationBacklog(user_id=user.id))

    crls.publish()
    crls.ca.ledger.commit(Request("user.synced", context(), decide), context().deadline)
    crls.publish_due()

    assert reasons(crls.current()) == {each.serial_number: "cessationOfOperation" for each in certificates}
    assert earlier.status is CertificateStatus.HELD


def test_all_certificates_of_a_leaked_key_are_in_the_next_crl_however_many_they_are(
    crls: TestCrls, tables: TableStore, clock: SettableClock
) -> None:
    user, key = crls.ca.add_user(), generate_key(KeyType.P_256)
    departures = Departures(DeparturePolicy())
    orders = [order(user, key, validity_days=days) for days in range(30, 30 + AT_ONCE + 3)]
    certificates = [crls.ca.issuance.issue(each, context()).certificate for each in orders]
    other = crls.ca.issuance.issue(order(user), context()).certificate
    Revocation(crls.ca.ledger, departures).revoke(certificates[0].id, RevocationReason.KEY_COMPROMISE, context())
    left = [each for each in crls.ca.certificates() if each.status is CertificateStatus.ISSUED]
    clock.now += timedelta(minutes=5)

    crls.publish_due()

    first = crls.current()
    assert len(left) == 3 and other.id in {each.id for each in left}
    assert reasons(first) == {each.serial_number: "keyCompromise" for each in certificates}
    (reply,) = OcspStatuses(crls.ca.ledger, crls.replica, crls.reader).of(
        crls.issuer.id, [certificates[-1].serial_number], context().deadline
    )
    assert isinstance(reply, Revoked) and reply.reason is RevocationReason.KEY_COMPROMISE
    clock.now += timedelta(minutes=5)
    later = Ledger(tables, crls.ca.ledger.tenant_id, clock=clock)
    assert RevocationUpkeep(later, crls.replica, departures).run(context()).settled == 1
    crls.publish()
    assert {each.serial_number: each.revocation_date_utc for each in crls.current()} == {
        each.serial_number: each.revocation_date_utc for each in first
    }
    assert crls.ca.certificate(other.id).status is CertificateStatus.ISSUED


def test_a_retired_issuer_goes_on_with_a_crl_of_its_own(crls: TestCrls) -> None:
    old, revoked = crls.issuer, crls.revoke(crls.issue())
    plan = IssuerPlan(common_name="Contoso Users CA 2", key_type=KeyType.P_256)
    crls.ca.ceremony.activate(crls.ca.ceremony.roll_over(plan, context()).id, context())
    new = crls.revoke(crls.issue())

    assert [each.published for each in crls.publish_due()] == [True, True]

    assert reasons(x509.load_der_x509_crl(crls.store.current(old.id).der)) == {revoked.serial_number: "superseded"}
    assert reasons(x509.load_der_x509_crl(crls.store.current(crls.issuer.id).der)) == {new.serial_number: "superseded"}


def test_one_issuer_that_cannot_sign_does_not_keep_the_others_from_publishing(
    crls: TestCrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = IssuerPlan(common_name="Contoso Users CA 2", key_type=KeyType.P_256)
    second = crls.ca.ceremony.roll_over(plan, context())
    first, signing_key = crls.issuer, crls.ca.authority.signing_key

    def refuse_first(issuer: object, deadline: object) -> object:
        if issuer == first:
            raise CrlNotPublished("the key is gone")
        return signing_key(issuer, deadline)  # type: ignore[arg-type]

    monkeypatch.setattr(crls.ca.authority, "signing_key", refuse_first)

    outcome = {each.issuer_id: each for each in crls.publish_due()}

    assert outcome[first.id].error is not None and not outcome[first.id].published
    assert outcome[second.id].published


def test_a_clock_that_steps_back_does_no_harm(crls: TestCrls, clock: SettableClock) -> None:
    crls.publish()
    before = crls.current()
    certificate = crls.revoke(crls.issue())
    clock.now -= timedelta(days=3)

    assert [each.published for each in crls.publish_due()] == [True]

    after = crls.current()
    assert number_of(after) == number_of(before) + 1
    assert after.last_update_utc >= before.last_update_utc
    assert (after.next_update_utc or clock.now) >= (before.next_update_utc or clock.now)
    assert certificate.serial_number in reasons(after)
    assert [each.published for each in crls.publish_due()] == [False]


def test_a_number_that_was_published_before_a_restore_is_refused(crls: TestCrls) -> None:
    crls.publish()
    crls.blobs.put_new(crl_name(crls.issuer.id, 7), b"published, then the tables were restored")

    with pytest.raises(CrlNumberUsed, match="reconcile"):
        crls.publish()

    assert crls.pointer().number == 1
    assert crls.pointer().last_number == 1


def test_old_crls_are_deleted_but_never_the_current_one(crls: TestCrls) -> None:
    crls.publish()
    folder, issuer_id = crl_folder(crls.issuer.id), crls.issuer.id
    first = crls.pointer()

    def decide(tx: Transaction) -> None:
        tx.put(replace(first, last_number=KEPT + 5))

    crls.ca.ledger.commit(Request("test", context(), decide), context().deadline)
    for number in range(2, KEPT + 3):
        crls.blobs.put_new(crl_name(issuer_id, number), b"old")

    crls.publish()

    names = [blob.name for blob in crls.blobs.list(folder)]
    assert len(names) == KEPT
    assert names[-1] == crl_name(issuer_id, KEPT + 6)
    assert number_of(crls.current()) == KEPT + 6
