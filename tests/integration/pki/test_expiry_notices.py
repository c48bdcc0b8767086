"""Expiry notices: each threshold told once, and nothing told of what needs no more seeing to."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from local.https_server import Reply
from shared.directory.records.certificate import RevocationReason
from shared.directory.replica.queries import ExpiringCertificates
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.pki.expiry.listing import ExpiryListing
from shared.pki.expiry.notices import ExpiryNotices
from shared.pki.expiry.status import NoticeStatuses
from shared.pki.revocation.departures import DeparturePolicy, Departures
from shared.pki.revocation.revocation import Revocation
from tests.support.expiry import DAYS, Office, context_of_a_timer
from tests.support.pki import context, order


def test_each_threshold_is_told_once(office: Office) -> None:
    certificate = office.issue()
    told = []
    for days in (31, 30, 29, 14.5, 14, 10, 7, 1, 0.5, -1):
        office.at(certificate, days_before_end=days)
        office.run()
        office.run()
        told.append(office.received)
        office.receiver.requests.clear()

    by_threshold = [[(certificate.id, days)] for days in DAYS]
    assert told == [[], by_threshold[0], [], [], by_threshold[1], [], by_threshold[2], [], [], []]
    actions = [operation.action for row in office.ledger.log(0) for operation in row.operations]
    assert (actions.count("notice.raised"), actions.count("notice.delivered")) == (3, 3)


def test_runs_that_overlap_raise_each_notice_once(office: Office) -> None:
    certificates = [office.issue() for _ in range(4)]
    office.at(certificates[-1], days_before_end=30)

    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: office.run(), range(3)))

    assert sum(report.raised for report in reports) == 4
    assert set(office.received) == {(each.id, 30) for each in certificates}
    assert office.open_notices() == []


def test_what_was_missed_is_told_once_for_the_nearest_threshold(office: Office) -> None:
    certificate = office.issue()
    office.at(certificate, days_before_end=5)

    office.run()
    office.run()

    assert office.received == [(certificate.id, 7)]


def test_a_short_certificate_has_no_notice_for_its_whole_life_or_more(office: Office) -> None:
    week, fortnight = office.issue(days=7), office.issue(days=14)

    office.run()
    assert office.received == []
    office.at(fortnight, days_before_end=6)
    office.run()

    assert office.received == [(fortnight.id, 7)]
    assert week.id not in {number for number, _ in office.received}


def test_what_was_renewed_revoked_or_held_gets_no_notice(office: Office) -> None:
    renewed, revoked, held, left = (office.issue() for _ in range(4))
    revocation = Revocation(office.ledger, Departures(DeparturePolicy()))
    revocation.revoke(revoked.id, RevocationReason.UNSPECIFIED, context())
    revocation.revoke(held.id, RevocationReason.CERTIFICATE_HOLD, context())
    office.at(renewed, days_before_end=31)
    successor = office.ca.issuance.issue(order(office.ada, renews=renewed.id), context()).certificate
    office.at(renewed, days_before_end=30)

    office.run()
    assert office.received == [(left.id, 30)]

    revocation.revoke(successor.id, RevocationReason.UNSPECIFIED, context())
    office.run()
    assert office.received == [(left.id, 30), (renewed.id, 30)]


def test_one_renewed_while_its_notice_waits_is_not_told(office: Office) -> None:
    certificate = office.issue()
    office.receiver.answer = lambda _: Reply(503)
    office.at(certificate, days_before_end=30)
    assert office.run().failed == 1
    office.ca.issuance.issue(order(office.ada, renews=certificate.id), context())

    office.receiver.answer = lambda _: Reply(204)
    office.after(minutes=6)
    report = office.run()

    assert (report.dropped, report.delivered, office.open_notices()) == (1, 0, [])


def test_a_later_notice_takes_the_place_of_one_that_was_not_delivered(office: Office) -> None:
    certificate = office.issue()
    office.receiver.answer = lambda _: Reply(500)
    office.at(certificate, days_before_end=30)
    office.run()

    office.receiver.answer = lambda _: Reply(200)
    office.receiver.requests.clear()
    office.at(certificate, days_before_end=14)
    office.run()

    assert office.received == [(certificate.id, 14)]
    assert office.open_notices() == []


def test_without_a_webhook_notices_are_raised_and_listed(office: Office) -> None:
    certificate = office.issue()
    office.at(certificate, days_before_end=30)
    silent = ExpiryNotices(office.ledger, office.replica, office.statuses, DAYS, None, clock=office.clock)

    assert (silent.run(context_of_a_timer()).raised, office.open_notices()) == (1, [])

    found = ExpiryListing(office.ledger, office.replica).find(
        ExpiringCertificates(within=timedelta(days=31)), context().deadline
    )
    assert [(each.id, each.notice_days, each.noticed_at) for each in found.page.items] == [
        (certificate.id, 30, office.clock.now)
    ]
    assert found.users[office.ada.id].name == "Ada Lovelace"


def test_what_ends_is_listed_by_its_end_page_by_page(office: Office) -> None:
    ends = [office.issue(days=days).id for days in (25, 10, 20, 15, 40)]
    listing = ExpiryListing(office.ledger, office.replica)

    def page(number: int) -> list[int]:
        query = ExpiringCertificates(within=timedelta(days=30), page=number, per_page=2)
        found = listing.find(query, context().deadline).page
        assert found.total == 4
        return [each.id for each in found.items]

    assert [page(1), page(2), page(3)] == [[ends[1], ends[3]], [ends[2], ends[0]], []]


def test_what_another_version_of_the_app_left_behind_is_understood(tables: TableStore, tenant_id: str) -> None:
    state = StateStore(tables, tenant_id)
    state.put("expiry_notices", b'{"dead": 2, "paused_until": "2030-01-01T00:00:00.000000Z", "unheard_of": 1}')

    found = NoticeStatuses(state).get()

    assert (found.dead, found.paused_until, found.gone) == (2, datetime(2030, 1, 1, tzinfo=UTC), None)


def test_other_thresholds_hold_from_the_next_run_on(office: Office) -> None:
    certificate = office.issue()
    office.at(certificate, days_before_end=20)
    office.run()
    office.run(days=(60, 21))
    assert office.received == [(certificate.id, 30), (certificate.id, 21)]

    office.run(days=())
    assert len(office.received) == 2
