"""The replica answers lists, statistics and CRL contents exactly; fed here by a ledger in memory."""

import uuid
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.context import Deadline
from shared.directory.records.certificate import (
    Certificate,
    CertificateKind,
    CertificateStatus,
    CertificateType,
    RevocationReason,
)
from shared.directory.records.user import Group, User
from shared.directory.replica.queries import (
    CertificateQuery,
    CertificateSummary,
    EffectiveStatus,
    UserQuery,
    UserSort,
    UserSummary,
)
from shared.directory.replica.replica import Replica
from shared.errors import FieldError
from tests.support.people import NOW, certificate, user
from tests.support.plain_ledger import PlainLedger

SOON = timedelta(seconds=30)


@pytest.fixture
def ledger() -> PlainLedger:
    return PlainLedger(str(uuid.uuid4()))


@pytest.fixture
def replica(ledger: PlainLedger, tmp_path: Path) -> Iterator[Replica]:
    replica = Replica(ledger, tmp_path, ledger.tenant_id, clock=lambda: NOW)
    yield replica
    replica.close()


def ids(replica: Replica, query: UserQuery) -> list[int]:
    replica.catch_up(Deadline.after(SOON))
    page = replica.users(query)
    assert page.total >= len(page.items)
    return [item.id for item in page.items]


def test_a_list_item_says_what_the_record_says(ledger: PlainLedger, replica: Replica) -> None:
    ada = user(1, deleted_at=NOW, is_active=False, email="ada@fabrikam.example", user_type="Guest")
    ledger.commit(ada)
    replica.catch_up(Deadline.after(SOON))

    (item,) = replica.users(UserQuery()).items

    assert {field.name for field in fields(UserSummary)} == set(User.REPLICATED)
    assert all(getattr(item, name) == getattr(ada, name) for name in User.REPLICATED)


def test_a_certificate_item_says_what_the_record_says(ledger: PlainLedger, replica: Replica) -> None:
    issued = certificate(1, email="a@b.example", user_principal_name="u@b.example")
    ledger.commit(user(1), issued)
    replica.catch_up(Deadline.after(SOON))

    (item,) = replica.certificates(CertificateQuery()).items

    assert {field.name for field in fields(CertificateSummary)} == {*Certificate.REPLICATED, "effective_status"}
    assert all(getattr(item, name) == getattr(issued, name) for name in Certificate.REPLICATED)
    assert item.effective_status is EffectiveStatus.ACTIVE


def test_local_users_are_not_in_the_synchronized_list(ledger: PlainLedger, replica: Replica) -> None:
    ledger.commit(user(1), user(2, object_id=None), user(3))

    assert ids(replica, UserQuery()) == [1, 3]
    assert replica.statistics(NOW).users.total == 2


def test_filters_combine_and_totals_are_of_all_pages(ledger: PlainLedger, replica: Replica) -> None:
    yesterday = NOW - timedelta(days=1)
    ledger.commit(
        *(user(n, f"Ann {n}", is_active=n % 2 == 0, synced_at=NOW if n % 3 else yesterday) for n in range(1, 61))
    )
    replica.catch_up(Deadline.after(SOON))

    page = replica.users(UserQuery(active=True, synced_since=NOW, search="nn 1", per_page=2, page=2))

    assert page.total == 3  # 10, 14 and 16; 12 and 18 were synced yesterday, the odd ones are inactive
    assert [item.id for item in page.items] == [16]


@pytest.mark.parametrize(
    ("sort", "expected"), [("id", [1, 2, 3, 4]), ("name", [2, 3, 4, 1]), ("synced_at", [4, 1, 3, 2])]
)
def test_pages_come_in_the_order_asked_for(
    ledger: PlainLedger, replica: Replica, sort: UserSort, expected: list[int]
) -> None:
    ledger.commit(
        user(1, "zoe", synced_at=NOW),
        user(2, "Ádám", synced_at=None),
        user(3, "adam", synced_at=NOW - timedelta(hours=1)),
        user(4, "Łucja", synced_at=NOW + timedelta(hours=1)),
    )

    assert ids(replica, UserQuery(sort=sort)) == expected


def test_a_complete_round_of_the_tenant_sync_counts_as_a_sync_of_everybody(
    ledger: PlainLedger, replica: Replica
) -> None:
    ledger.commit(user(1, synced_at=NOW - timedelta(days=9)), user(2, synced_at=NOW))
    replica.catch_up(Deadline.after(SOON))
    query = UserQuery(synced_since=NOW - timedelta(hours=24))
    round_started_at = NOW - timedelta(hours=1)

    assert replica.users(query).total == 1
    assert replica.statistics(NOW).users.synced_last_24h == 1
    covered = replica.users(query, round_started_at=round_started_at)
    assert [item.synced_at for item in covered.items] == [round_started_at, NOW]
    assert replica.statistics(NOW, round_started_at=round_started_at).users.synced_last_24h == 2


def test_a_page_past_the_last_is_empty(ledger: PlainLedger, replica: Replica) -> None:
    ledger.commit(user(1))
    replica.catch_up(Deadline.after(SOON))

    page = replica.users(UserQuery(page=10**9, per_page=100))

    assert (page.items, page.total) == ((), 1)


def test_a_search_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(FieldError) as refused:
        UserQuery(search="x" * 256)

    assert refused.value.errors == {"search": ["The search field must not be greater than 255 characters."]}


def test_statistics_count_every_user_and_certificate_once(ledger: PlainLedger, replica: Replica) -> None:
    ledger.commit(
        user(1),
        user(2, user_type="Guest", synced_at=NOW - timedelta(hours=25)),
        user(3, is_active=False),
        user(4, is_active=False, deleted_at=NOW),
        user(5, object_id=None),
    )
    revoked: dict[str, Any] = {"status": CertificateStatus.REVOKED, "revoked_at": NOW}
    ledger.commit(
        certificate(1),
        certificate(2, not_after=NOW),  # its last second
        certificate(3, not_after=NOW - timedelta(seconds=1), certificate_type=CertificateType.CODE_SIGNING),
        certificate(4, status=CertificateStatus.PENDING, fingerprint=None, issued_at=None),
        certificate(5, revocation_reason=RevocationReason.SUPERSEDED, **revoked),
        certificate(
            6,
            status=CertificateStatus.HELD,
            revoked_at=NOW,
            revocation_reason=RevocationReason.CERTIFICATE_HOLD,
        ),
        certificate(7, user_id=None, kind=CertificateKind.OCSP_RESPONDER, certificate_type=None),
    )
    replica.catch_up(Deadline.after(SOON))

    counted = replica.statistics(NOW)

    users, certificates = counted.users, counted.certificates
    assert (users.total, users.active, users.inactive, users.deleted, users.synced_last_24h, users.guests) == (
        4, 2, 2, 1, 3, 1,
    )  # fmt: skip
    assert (certificates.total, certificates.active, certificates.revoked) == (6, 2, 2)
    assert (certificates.expired, certificates.pending, certificates.expiring_30_days) == (1, 1, 1)
    assert certificates.by_type == {"client_auth": 5, "code_signing": 1}
    assert certificates.revoked_by_reason == {"superseded": 1, "certificateHold": 1}


def test_certificates_are_found_by_each_of_their_properties(ledger: PlainLedger, replica: Replica) -> None:
    ledger.commit(
        certificate(1),
        certificate(2, user_id=2, not_after=NOW + timedelta(days=3)),
        certificate(3, certificate_type=CertificateType.EMAIL_PROTECTION, issuer_id="f" * 16),
        certificate(4, not_after=NOW - timedelta(days=1)),
        certificate(5, status=CertificateStatus.HELD, revoked_at=NOW),
        certificate(6, user_id=None, kind=CertificateKind.OCSP_RESPONDER, certificate_type=None),
    )
    replica.catch_up(Deadline.after(SOON))

    def found(**query: object) -> list[int]:
        page = replica.certificates(CertificateQuery(**query))  # type: ignore[arg-type]
        assert page.total == len(page.items)
        return [item.id for item in page.items]

    assert found() == [1, 2, 3, 4, 5]
    assert found(user_id=2) == [2]
    assert found(status=EffectiveStatus.ACTIVE) == [1, 2, 3]
    assert found(status=EffectiveStatus.EXPIRED) == [4]
    assert found(status=EffectiveStatus.HELD) == [5]
    assert found(certificate_type=CertificateType.EMAIL_PROTECTION) == [3]
    assert found(expiring_within=timedelta(days=3)) == [2]
    assert found(issuer_id="f" * 16) == [3]
    assert found(serial_number="00000003") == [3]
    assert found(serial_number="not hex") == []
    assert {user_id: [c.id for c in owned] for user_id, owned in replica.active_certificates([1, 2, 9]).items()} == {
        1: [1, 3],
        2: [2],
    }


def test_groups_are_named_however_many_there_are(ledger: PlainLedger, replica: Replica) -> None:
    groups = [Group(object_id=str(uuid.UUID(int=n)), display_name=f"Group {n}") for n in range(1300)]
    ledger.commit(*groups)
    ledger.commit(replace(groups[0], display_name="Renamed"), deleted=[groups[1].key])
    replica.catch_up(Deadline.after(SOON))

    names = {group.object_id: group.display_name for group in replica.groups([group.object_id for group in groups])}

    assert len(names) == 1299
    assert names[groups[0].object_id] == "Renamed"
    assert replica.groups([]) == ()


def test_a_crl_lists_what_is_revoked_or_on_hold_of_its_issuer(ledger: PlainLedger, replica: Replica) -> None:
    held = certificate(1, status=CertificateStatus.HELD, revoked_at=NOW - timedelta(days=2))
    ledger.commit(
        replace(held, revocation_reason=RevocationReason.CERTIFICATE_HOLD),
        certificate(2, status=CertificateStatus.REVOKED, revoked_at=NOW, issuer_id="f" * 16),
        certificate(3),
        certificate(4, status=CertificateStatus.REVOKED, revoked_at=NOW, not_after=NOW - timedelta(days=1)),
    )
    replica.catch_up(Deadline.after(SOON))

    with replica.revoked_certificates("0123456789abcdef") as (seq, entries):
        found = [(entry.serial_number, entry.revoked_at, entry.reason) for entry in entries]

    assert seq == 1
    assert found == [
        ("00000001", NOW - timedelta(days=2), RevocationReason.CERTIFICATE_HOLD),
        ("00000004", NOW, RevocationReason.UNSPECIFIED),
    ]
