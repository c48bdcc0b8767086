"""Who has which mail address, as of the moment of the question."""

import pytest

from shared.directory.ledger import Ledger
from shared.directory.records.user import EntraDeletion
from shared.pki.issuance.mail_index import MailIndex
from tests.support.pki import TestCa

NOBODY: frozenset[int] = frozenset()


@pytest.fixture
def index(ca: TestCa) -> MailIndex:
    ca.add_user(mail="early@contoso.example")
    return MailIndex(ca.ledger)


def test_users_from_before_and_after_the_first_question_are_known(ca: TestCa, index: MailIndex) -> None:
    assert index.owners("early@contoso.example") == {1}

    ada = ca.add_user(mail="Ada@Contoso.example", proxy_addresses=("SMTP:ada.l@contoso.example", "SIP:x@y.example"))

    assert index.owners("ADA@contoso.example") == {ada.id}
    assert index.owners("ada.L@contoso.example") == {ada.id}
    assert index.owners("x@y.example") == NOBODY


def test_an_address_that_moves_is_found_where_it_is(ca: TestCa, index: MailIndex) -> None:
    ada, eve = ca.add_user(mail="shared@contoso.example"), ca.add_user(mail="shared@contoso.example")
    assert index.owners("shared@contoso.example") == {ada.id, eve.id}

    ca.change_user(ada, mail="ada@contoso.example")

    assert index.owners("shared@contoso.example") == {eve.id}
    assert index.owners("ada@contoso.example") == {ada.id}


def test_deleted_users_have_no_address_until_they_are_restored(ca: TestCa, index: MailIndex) -> None:
    ada = ca.add_user(mail="ada@contoso.example")
    ca.change_user(ada, deletion=EntraDeletion.SOFT, is_active=False)
    assert index.owners("ada@contoso.example") == NOBODY

    ca.change_user(ada, deletion=None, is_active=True)

    assert index.owners("ada@contoso.example") == {ada.id}


def test_a_disabled_user_still_has_its_address(ca: TestCa, index: MailIndex) -> None:
    ada = ca.add_user(mail="ada@contoso.example", is_active=False)

    assert index.owners("ada@contoso.example") == {ada.id}


def test_two_indexes_of_one_ledger_agree(ca: TestCa, ledger: Ledger, index: MailIndex) -> None:
    users = [ca.add_user(mail=f"a{number % 3}@contoso.example") for number in range(9)]
    for user in users[::2]:
        index.owners("warm up")
        ca.change_user(user, mail=f"b{user.id % 2}@contoso.example")

    fresh = MailIndex(ledger)
    for address in ("a0", "a1", "a2", "b0", "b1", "early"):
        assert index.owners(f"{address}@contoso.example") == fresh.owners(f"{address}@contoso.example")
