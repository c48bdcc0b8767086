"""A CA whose clock a test moves, and the notices that it sends to a receiver of the test's."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from shared.directory.ledger import Ledger
from shared.directory.records.certificate import Certificate
from shared.directory.records.notice import ExpiryNotice
from shared.directory.replica.replica import Replica
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.pki.expiry.delivery import ExpiryDelivery
from shared.pki.expiry.notices import ExpiryNotices, NoticeReport
from shared.pki.expiry.status import NoticeStatuses
from shared.pki.expiry.webhook import Webhook
from tests.support.odd_server import OddServer
from tests.support.pki import SettableClock, TestCa, context, order, software_backend

SECRET = b"a secret of thirty-two bytes...."
DAYS = (30, 14, 7)


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
