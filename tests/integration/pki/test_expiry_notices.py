"""Expiry notices from the ledger to a real HTTPS receiver that fails, is slow, goes away, or kills its sender."""

import base64
import hashlib
import hmac
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from local.https_server import Reply, Request, Wire
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import Certificate, RevocationReason
from shared.directory.records.notice import ExpiryNotice
from shared.directory.replica import Replica
from shared.directory.replica.queries import ExpiringCertificates
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.pki.departures import DeparturePolicy, Departures
from shared.pki.expiry_delivery import MOST_ATTEMPTS, ExpiryDelivery
from shared.pki.expiry_listing import ExpiryListing
from shared.pki.expiry_notices import ExpiryNotices, NoticeReport
from shared.pki.expiry_status import NoticeStatuses
from shared.pki.expiry_webhook import Webhook, signed_headers
from shared.pki.revocation import Revocation
from tests.support.odd_server import OddServer, odd_server
from tests.support.pki import SettableClock, TestCa, context, order, software_backend

SECRET = b"a secret of thirty-two bytes...."
DAYS = (30, 14, 7)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OddServer]:
    with odd_server(tmp_path_factory.mktemp("receiver")) as running:
        yield running


@pytest.fixture
def receiver(server: OddServer) -> OddServer:
    """It takes everything, until a test says otherwise."""
    server.requests.clear()
    server.answer = lambda _: Reply(204)
    return server


def webhook(receiver: OddServer, clock: SettableClock, **options: Any) -> Webhook:
    session = requests.Session()
    session.trust_env, session.verify = False, str(receiver.root)
    return Webhook(f"{receiver.url}/hook?key=k", SECRET, session, clock=clock, **options)


class Office:
    """A CA, its clock, and the notices that it sends."""

    def __init__(self, tables: TableStore, tenant_id: str, folder: Path, receiver: OddServer) -> None:
        self.clock = SettableClock(datetime.now(UTC))
        self.ledger = Ledger(tables, tenant_id, clock=self.clock)
        self.ca = TestCa.on(self.ledger, software_backend(folder), clock=self.clock).initialize()
        self.replica = Replica(self.ledger, folder / "replica", tenant_id, clock=self.clock)
        self.statuses = NoticeStatuses(StateStore(tables, tenant_id))
        self.receiver = receiver
        self.ada = self.ca.add_user(name="Ada Lovelace")

    def issue(self, days: int = 365, **changes: Any) -> Certificate:
        return self.ca.issuance.issue(order(self.ada, validity_days=days, **changes), context()).certificate

    def at(self, certificate: Certificate, *, days_before_end: float) -> None:
        self.clock.now = certificate.not_after - timedelta(days=days_before_end)

    def after(self, **time: float) -> None:
        self.clock.now += timedelta(**time)

    def notices(self, days: tuple[int, ...] = DAYS, **options: Any) -> ExpiryNotices:
        delivery = ExpiryDelivery(self.ledger, webhook(self.receiver, self.clock, **options), clock=self.clock)
        return ExpiryNotices(self.ledger, self.replica, self.statuses, days, delivery, clock=self.clock)

    def run(self, **options: Any) -> NoticeReport:
        return self.notices(**options).run(context_of_a_timer())

    @property
    def received(self) -> list[tuple[int, int]]:
        """(certificate, days) of each message that came."""
        data = [json.loads(each.body)["data"] for each in self.receiver.requests]
        return [(each["certificate"]["id"], each["days"]) for each in data]

    def open_notices(self) -> list[ExpiryNotice]:
        return list(self.ledger.scan(ExpiryNotice))


def context_of_a_timer() -> Any:
    from dataclasses import replace

    from shared.context import Deadline

    return replace(context("send_expiry_notices"), deadline=Deadline.after(timedelta(minutes=4)))


@pytest.fixture
def office(tables: TableStore, tenant_id: str, tmp_path: Path, receiver: OddServer) -> Office:
    return Office(tables, tenant_id, tmp_path, receiver)


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


def test_a_message_is_signed_and_says_what_ends_and_whose_it_is(office: Office) -> None:
    certificate = office.issue()
    office.at(certificate, days_before_end=30)

    office.run()

    (request,) = office.receiver.requests
    assert (request.method, request.target) == ("POST", "/hook?key=k")
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert int(request.headers["webhook-timestamp"]) == int(office.clock.now.timestamp())
    message = json.loads(request.body)
    assert message["type"] == "certificate.expiring"
    assert message["data"]["certificate"]["serial_number"] == certificate.serial_number
    assert message["data"]["user"]["user_principal_name"] == office.ada.user_principal_name


def test_the_signature_is_that_of_the_specification() -> None:
    """As the specification's own library (standardwebhooks on PyPI) makes it of the same."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    moment = datetime.fromtimestamp(1614265330, UTC)

    headers = signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", moment, b'{"test": 2432232314}')

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


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


def test_failures_are_tried_again_at_growing_intervals_and_given_up_at_last(office: Office) -> None:
    certificate = office.issue()
    office.receiver.answer = lambda _: Reply(500)
    office.at(certificate, days_before_end=30)
    pauses, dead = [], False
    while not dead:
        assert office.run().failed == 1
        (notice,) = office.open_notices()
        pauses.append((notice.next_attempt_at - office.clock.now) / timedelta(minutes=1))
        office.clock.now = notice.next_attempt_at - timedelta(seconds=1)
        assert len(pauses) > 3 or office.run().failed == 0
        office.clock.now, dead = notice.next_attempt_at, notice.dead

    assert pauses == [5, 10, 20, 40, 80, 160, 320, 360, 360, 360, 360, 360]
    assert len(pauses) == MOST_ATTEMPTS
    assert len({each.headers["webhook-id"] for each in office.receiver.requests}) == 1
    status = office.statuses.get()
    assert (status.dead, status.error) == (1, "HTTP 500")
    office.after(hours=7)
    assert office.run().failed == 0

    office.receiver.answer = lambda _: Reply(204)
    assert office.notices().retry(context()) == 1
    assert office.run().delivered == 1
    assert office.statuses.get().dead == 0


def test_an_outage_does_not_use_up_the_attempts_of_all(office: Office) -> None:
    for _ in range(6):
        last = office.issue()
    office.at(last, days_before_end=30)
    office.receiver.answer = lambda _: Reply(502)

    assert (office.run().failed, len(office.receiver.requests)) == (3, 3)
    assert sorted(row.attempts for row in office.open_notices()) == [0, 0, 0, 1, 1, 1]
    assert office.statuses.get().failing_since == office.clock.now

    office.receiver.answer = lambda _: Reply(204)
    assert office.run().delivered == 3
    office.after(minutes=6)
    assert office.run().delivered == 3
    assert office.statuses.get().failing_since is None


def test_a_notice_that_the_receiver_refuses_does_not_hold_up_the_others(office: Office) -> None:
    certificates = [office.issue() for _ in range(5)]
    office.at(certificates[-1], days_before_end=30)
    unwanted = {each.id for each in certificates[:4]}

    def answer(request: Request) -> Reply:
        return Reply(422 if json.loads(request.body)["data"]["certificate"]["id"] in unwanted else 204)

    office.receiver.answer = answer
    report = office.run()

    assert (report.failed, report.delivered) == (4, 1)


@pytest.mark.parametrize("retry_after", ["3600", "date"])
def test_the_receiver_says_when_to_come_back(office: Office, retry_after: str) -> None:
    certificate, other = office.issue(), office.issue()
    office.at(other, days_before_end=30)
    until = office.clock.now + timedelta(hours=1)
    wanted = f"{until:%a, %d %b %Y %H:%M:%S} GMT" if retry_after == "date" else retry_after
    office.receiver.answer = lambda _: Reply(429, headers={"Retry-After": wanted})

    assert office.run().failed == 1
    office.receiver.answer = lambda _: Reply(204)
    office.after(minutes=58)
    assert office.run().delivered == 0
    office.after(minutes=3)

    assert office.run().delivered == 2
    assert {number for number, _ in office.received} == {certificate.id, other.id}


def test_a_receiver_that_is_gone_is_left_alone_until_an_operator_says_so(office: Office) -> None:
    certificate = office.issue()
    office.at(certificate, days_before_end=30)
    office.receiver.answer = lambda _: Reply(410)
    office.run()
    office.receiver.answer = lambda _: Reply(204)
    office.after(hours=1)

    assert (office.run().delivered, len(office.receiver.requests)) == (0, 1)
    assert office.statuses.get().gone is not None
    office.notices().retry(context())
    assert office.run().delivered == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(204, wire=Wire(delay=3)), "ReadTimeout"),
        (Reply(204, wire=Wire(drop=True)), "ConnectionError"),
        (Reply(302, headers={"Location": "https://127.0.0.1:1/"}), "HTTP 302"),
        (Reply(401), "HTTP 401"),
    ],
    ids=["slow", "dropped", "redirect", "unauthorized"],
)
def test_what_is_no_answer_is_tried_again(office: Office, reply: Reply, reason: str) -> None:
    certificate = office.issue()
    office.at(certificate, days_before_end=30)
    office.receiver.answer = lambda _: reply

    report = office.run(answer_seconds=1)

    assert (report.failed, report.open) == (1, 1)
    assert [row.error for row in office.open_notices()] == [reason]


def test_a_body_that_drips_is_not_waited_for(office: Office) -> None:
    certificate = office.issue()
    office.at(certificate, days_before_end=30)
    office.receiver.answer = lambda _: Reply(200, b"x" * 60, wire=Wire(drip=1))

    assert office.run(answer_seconds=20).delivered == 1


def test_a_receiver_whose_certificate_is_not_trusted_gets_nothing(office: Office) -> None:
    certificate = office.issue()
    office.at(certificate, days_before_end=30)
    session = requests.Session()
    session.trust_env = False
    strict = Webhook(office.receiver.url, SECRET, session, clock=office.clock)
    delivery = ExpiryDelivery(office.ledger, strict, clock=office.clock)
    notices = ExpiryNotices(office.ledger, office.replica, office.statuses, DAYS, delivery, clock=office.clock)

    assert notices.run(context_of_a_timer()).failed == 1
    assert office.receiver.requests == []


def test_a_sender_killed_before_it_could_record_sends_the_same_message_again(
    office: Office, tables: TableStore, tenant_id: str, tmp_path: Path, azurite: Any
) -> None:
    certificate = office.issue()
    office.at(certificate, days_before_end=30)

    def kill_sender(_: Request) -> Reply:
        os.kill(sender.pid or 0, signal.SIGKILL)
        return Reply(204)

    office.receiver.answer = kill_sender
    sender = multiprocessing.get_context("spawn").Process(
        target=_send,
        args=(azurite.connection_string, tenant_id, tmp_path, office.receiver.url, office.receiver.root, office.clock),
    )
    sender.start()
    sender.join(60)
    assert sender.exitcode == -9
    assert len(office.open_notices()) == 1

    office.receiver.answer = lambda _: Reply(204)
    assert office.run().delivered == 1
    assert office.run().delivered == 0

    first, second = office.receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def _send(connection_string: str, tenant_id: str, folder: Path, url: str, root: Path, clock: SettableClock) -> None:
    tables = TableStore.from_connection_string(connection_string, "directory")
    ledger = Ledger(tables, tenant_id, clock=clock)
    replica = Replica(ledger, folder / "another", tenant_id, clock=clock)
    delivery = ExpiryDelivery(ledger, webhook(OddServer(url, root), clock), clock=clock)
    statuses = NoticeStatuses(StateStore(tables, tenant_id))
    ExpiryNotices(ledger, replica, statuses, DAYS, delivery, clock=clock).run(context_of_a_timer())


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
