"""Holds that nobody came back for end as revocations; those that somebody asked for do not."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.azurite.azurite import Azurite
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    RevocationReason,
    RevocationSource,
)
from shared.directory.tables import TableStore
from shared.pki.revocation.departures import DeparturePolicy, Departures
from shared.pki.revocation.upkeep import LONGEST_HOLD, RevocationUpkeep
from tests.support.crls import TestCrls, blob_store, reasons
from tests.support.pki import SettableClock, TestCa, context, software_backend

HELD, REVOKED = CertificateStatus.HELD, CertificateStatus.REVOKED


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def crls(tables: TableStore, tenant_id: str, azurite: Azurite, tmp_path: Path, clock: SettableClock) -> TestCrls:
    ca = TestCa.on(Ledger(tables, tenant_id, clock=clock), software_backend(tmp_path), clock=clock).initialize()
    return TestCrls.of(ca, blob_store(azurite), tmp_path / "replica", clock)


@pytest.fixture
def upkeep(crls: TestCrls) -> RevocationUpkeep:
    return RevocationUpkeep(crls.ca.ledger, crls.replica, Departures(DeparturePolicy()))


def test_a_hold_of_the_directory_ends_as_a_revocation_after_thirty_days(
    crls: TestCrls, upkeep: RevocationUpkeep, clock: SettableClock
) -> None:
    held = crls.hold(crls.issue())
    clock.now += LONGEST_HOLD - timedelta(seconds=1)
    assert upkeep.run(context()).ended_holds == 0

    clock.now += timedelta(seconds=1)
    assert upkeep.run(context()).ended_holds == 1

    ended = crls.ca.certificate(held.id)
    assert (ended.status, ended.revocation_reason) == (REVOKED, RevocationReason.CESSATION_OF_OPERATION)
    assert ended.revoked_at == held.revoked_at
    crls.publish_due()
    assert reasons(crls.current()) == {held.serial_number: "cessationOfOperation"}
    assert upkeep.run(context()).ended_holds == 0


def test_a_hold_by_request_and_one_that_began_anew_are_not_ended(
    crls: TestCrls, upkeep: RevocationUpkeep, clock: SettableClock
) -> None:
    by_request = crls.change(
        crls.issue(),
        status=HELD,
        revocation_reason=RevocationReason.CERTIFICATE_HOLD,
        revocation_source=RevocationSource.REQUEST,
    )
    again = crls.release(crls.hold(crls.issue()))
    clock.now += LONGEST_HOLD
    again = crls.hold(again)

    assert upkeep.run(context()).ended_holds == 0

    assert [status(crls, each) for each in (by_request, again)] == [HELD, HELD]


def status(crls: TestCrls, certificate: Certificate) -> CertificateStatus:
    return crls.ca.certificate(certificate.id).status
