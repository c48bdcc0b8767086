"""Expiry notices to a real HTTPS receiver that fails, is slow, goes away, or kills its sender."""

import base64
import hashlib
import hmac
import json
import multiprocessing
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from local.https_server import Reply, Request, Wire
from shared.directory.ledger import Ledger
from shared.directory.replica.replica import Replica
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.health import HEALTHY, HealthStatus
from shared.health_probes import notices
from shared.pki.expiry.delivery import MOST_ATTEMPTS, ExpiryDelivery
from shared.pki.expiry.notices import ExpiryNotices
from shared.pki.expiry.status import NoticeStatus, NoticeStatuses
from shared.pki.expiry.webhook import Webhook, signed_headers
from shared.services import Services
from shared.settings import Settings
from tests.support.expiry import DAYS, SECRET, Office, context_of_a_timer, webhook
from tests.support.odd_server import OddServer
from tests.support.pki import SettableClock, TestCa, context, order


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


# --- As the app is put together ---


@pytest.fixture
def configured(app: Services, receiver: OddServer, monkeypatch: pytest.MonkeyPatch) -> Services:
    """The app with a webhook, and a certificate that ends in five days."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(receiver.root))
    secret = f"whsec_{base64.b64encode(SECRET).decode()}"
    webhook_settings = {"PKI_NOTICE_WEBHOOK_URL": f"{receiver.url}/hook", "PKI_NOTICE_WEBHOOK_SECRET": secret}
    built = Services(Settings.read({**app.settings.environment, **webhook_settings}))
    then = SettableClock(datetime.now(UTC) - timedelta(days=20))
    ledger = Ledger(built.tables, built.settings.entra.tenant_id, clock=then)
    ca = TestCa.on(ledger, built.signing_backend, clock=then).initialize()
    ca.issuance.issue(order(ca.add_user(), validity_days=25), context())
    return built


def test_the_app_delivers_to_the_webhook_of_its_settings(configured: Services, receiver: OddServer) -> None:
    report = configured.expiry_notices.run(context_of_a_timer())

    assert (report.raised, report.delivered) == (1, 1)
    assert [json.loads(each.body)["data"]["days"] for each in receiver.requests] == [7]
    assert notices(configured) == HEALTHY


def test_health_says_what_is_wrong_with_the_webhook_and_not_where_it_is(
    configured: Services, receiver: OddServer
) -> None:
    receiver.answer = lambda _: Reply(410)
    configured.expiry_notices.run(context_of_a_timer())
    gone = notices(configured)
    configured.expiry_notices.retry(context())
    after = notices(configured)
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    found = [gone]
    for status in (
        NoticeStatus(dead=2, error="HTTP 422"),
        NoticeStatus(open=5, failing_since=long_ago, error="HTTP 503"),
        NoticeStatus(finished_at=long_ago),
    ):
        configured.notice_statuses.put(status)
        found.append(notices(configured))

    assert after == HEALTHY
    assert {each.status for each in found} == {HealthStatus.DEGRADED}
    told = [each.reason or "" for each in found]
    for reason, expected in zip(told, ("410 Gone", "2 expiry notices", "HTTP 503", "send_expiry_notices"), strict=True):
        assert expected in reason
        assert "/hook" not in reason


def test_without_thresholds_there_is_nothing_to_be_healthy(app: Services) -> None:
    silent = Services(Settings.read({**app.settings.environment, "PKI_EXPIRY_NOTICE_DAYS": "none"}))

    assert notices(silent).status is HealthStatus.NOT_CONFIGURED
