"""Nobody gets a certificate for a mail address that somebody else has at that very moment, whatever happens at once."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from shared.context import Context
from shared.directory.ledger import Request, Transaction
from shared.directory.records.certificate import Certificate, CertificateType, user_certificates_prefix
from shared.directory.records.user import User
from shared.errors import AppError, FieldError
from shared.pki.issuance.idempotency import Once
from shared.pki.issuance.reservation import reserve
from tests.support.pki import POLICY, TestCa, context, order

ADDRESS = "info@contoso.example"
Reserve = Callable[[Certificate, Once | None, Context], Certificate]


@pytest.fixture
def ada(ca: TestCa) -> User:
    return ca.add_user(mail=ADDRESS)


@pytest.fixture
def eve(ca: TestCa) -> User:
    return ca.add_user(mail=None)


def mail_of(user: User, mail: str | None) -> Request[None]:
    def decide(tx: Transaction) -> None:
        current = tx.get(User, user.key)
        assert current is not None
        tx.put(replace(current, mail=mail))

    return Request("user.synced", context(), decide, ((User, user.key),))


@contextmanager
def reserving(ca: TestCa, monkeypatch: pytest.MonkeyPatch, how: Callable[[Reserve], Reserve]) -> Iterator[None]:
    """Issuance whose step 3 is another, made of the real one."""
    with monkeypatch.context() as patch:
        patch.setattr(ca.issuance, "_reserve", how(ca.issuance._reserve))
        yield


def issue(ca: TestCa, user: User) -> Certificate:
    return ca.issuance.issue(order(user, certificate_type=CertificateType.EMAIL_PROTECTION), context()).certificate


def test_an_address_that_somebody_else_gets_after_the_check_is_refused_where_it_is_reserved(
    ca: TestCa, ada: User, eve: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(original: Reserve) -> Reserve:
        def after_eve(*arguments: object) -> Certificate:
            ca.change_user(eve, mail=ADDRESS.upper())
            return original(*arguments)  # type: ignore[arg-type]

        return after_eve

    with (
        reserving(ca, monkeypatch, overtaken),
        pytest.raises(FieldError, match=f"is also that of the user {eve.id}"),
    ):
        issue(ca, ada)

    assert ca.certificates() == []


def test_an_address_that_somebody_else_gets_in_the_same_commit_is_refused_too(
    ca: TestCa, ada: User, eve: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def together(original: Reserve) -> Reserve:
        def with_eve(certificate: Certificate, once: Once | None, of: Context) -> Certificate:
            reservation = reserve(certificate, POLICY, ca.issuance._mail_owners, once, of)
            requests: list[Request[Any]] = [mail_of(eve, ADDRESS), reservation]
            before = ca.ledger.head().seq
            first, second = ca.ledger.commit_all(requests, of.deadline)
            assert not isinstance(first, AppError) and ca.ledger.head().seq == before + 1
            assert isinstance(second, AppError)
            raise second

        return with_eve

    with (
        reserving(ca, monkeypatch, together),
        pytest.raises(FieldError, match=f"is also that of the user {eve.id}"),
    ):
        issue(ca, ada)


def wait_for_another(outcomes: list[Certificate | AppError]) -> None:
    """Until one more certificate was issued."""
    before, deadline = len(outcomes), time.monotonic() + 60
    while not any(isinstance(outcome, Certificate) for outcome in outcomes[before:]):
        assert time.monotonic() < deadline, outcomes[before:]
        time.sleep(0.005)


def test_while_an_address_moves_to_and_fro_no_certificate_names_it_for_two(ca: TestCa, ada: User, eve: User) -> None:
    outcomes: list[Certificate | AppError] = []
    done, beginning = threading.Event(), ca.ledger.head().seq

    def keep_issuing(user: User) -> None:
        while not done.is_set():
            try:
                outcomes.append(issue(ca, user))
            except AppError as error:
                outcomes.append(error)

    threads = [threading.Thread(target=keep_issuing, args=(user,)) for user in (ada, eve)]
    for thread in threads:
        thread.start()
    moves = itertools.cycle([(eve, ADDRESS), (ada, None), (ada, ADDRESS), (eve, None)])
    chance = random.Random(5280)
    try:
        for user, mail in itertools.islice(moves, 40):
            ca.ledger.commit(mail_of(user, mail), context().deadline)
            if mail is None and chance.random() < 0.3:  # now it is somebody's alone
                wait_for_another(outcomes)
    finally:
        done.set()
        for thread in threads:
            thread.join()

    owners = {ada.key}
    for row in ca.ledger.log(beginning):
        for operation in row.operations:
            (key, *_) = (change.key for change in operation.changes)
            if operation.action == "user.synced" and key in (ada.key, eve.key):
                owners ^= {key}
            elif operation.action == "certificate.reserved":
                links = {change.key[: len(user_certificates_prefix(1))] for change in operation.changes}
                names = {user.key for user in (ada, eve) if user_certificates_prefix(user.id) in links}
                assert owners == names, f"log row {row.seq}: {owners} had the address"
