"""Search finds any piece of a name, email or UPN, whatever its case and accents, and takes nothing for a command."""

import unicodedata
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.context import REQUEST_BUDGET, Deadline
from shared.directory.records.user import User
from shared.directory.replica.domains import Domains
from shared.directory.replica.queries import UserQuery
from shared.directory.replica.replica import Replica
from shared.directory.replica.text_folding import FIELD_END, fold, searchable_text
from tests.support.people import user
from tests.support.plain_ledger import PlainLedger
from tests.support.ways_to_search import WAYS, search_only

Search = Callable[[str], list[int]]

PEOPLE = (
    user(1, "José García", user_principal_name="j.garcia@contoso.example", email="jose@mail.example"),
    user(2, "Jose Garcia", user_principal_name="jg2@contoso.example", email=None),
    user(3, "Łukasz Żółć", user_principal_name="lz@contoso.example", email="lz@contoso.example"),
    user(4, "100% _real_ 'quoted' \"twice\"", user_principal_name="odd*name@contoso.example"),
    user(5, "AND OR NOT NEAR(a b)", user_principal_name="x+y@contoso.example"),
    user(6, "王小明", user_principal_name="wang@contoso.example"),
    user(7, "Straße Weiß", user_principal_name="sw@contoso.example"),
    user(8, "İsmail Işık", user_principal_name="ii@contoso.example"),
    user(9, "김민준", user_principal_name="kim@contoso.example"),
    user(10, "ﬁona Ｗｉｄｅ", user_principal_name="fw@contoso.example"),
    user(11, "क्रिया", user_principal_name="kriya@contoso.example"),
    user(12, "Back\\slash; DROP TABLE users--", user_principal_name="bs@contoso.example"),
)


@pytest.fixture(params=WAYS)
def search(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Search]:
    search_only(monkeypatch, request.param)
    ledger = PlainLedger(str(uuid.uuid4()))
    ledger.commit(*PEOPLE)
    replica = Replica(ledger, tmp_path, ledger.tenant_id)
    replica.catch_up(Deadline.after(REQUEST_BUDGET))

    def search(text: str) -> list[int]:
        page = replica.users(UserQuery(search=text, per_page=100))
        assert page.total == len(page.items)
        return [found.id for found in page.items]

    yield search
    replica.close()


@pytest.mark.parametrize("text", ["garcia", "García", "GARCÍA", "garci\u0301a", "arcí"])
def test_accents_and_case_do_not_matter_on_either_side(search: Search, text: str) -> None:
    assert search(text) == [1, 2]


@pytest.mark.parametrize("text", ["José", unicodedata.normalize("NFD", "José"), "JOSE"])
def test_composed_and_decomposed_are_the_same(search: Search, text: str) -> None:
    assert search(text) == [1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lukasz zolc", [3]),
        ("strasse", [7]),
        ("WEISS", [7]),
        ("ismail isik", [8]),
        ("IŞIK", [8]),
        ("fiona wide", [10]),
        ("mail.example", [1]),
        ("jg2", [2]),
        ("wang@", [6]),
        ("wang@contoso", [6]),
        ("g@contoso.example", [6]),
        ("@mail.", [1]),
        ("ntoso.exampl", [found.id for found in PEOPLE]),
        ("@c", [found.id for found in PEOPLE]),
    ],
)
def test_letters_are_found_as_people_type_them(search: Search, text: str, expected: list[int]) -> None:
    assert search(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("王", [6]),
        ("小明", [6]),
        ("김", [9]),
        ("\u1100\u1175\u11b7", [9]),
        ("z", [3]),
        ("+", [5]),
        ("w", [4, 6, 7, 10]),
    ],
)
def test_one_character_is_enough(search: Search, text: str, expected: list[int]) -> None:
    assert search(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%", [4]),
        ("_", [4]),
        ("0% _r", [4]),
        ("'", [4]),
        ('"', [4]),
        ('"twice"', [4]),
        ("d*n", [4]),
        ("AND", [5]),
        ("and or", [5]),
        ("near(", [5]),
        ("a b)", [5]),
        ("\\", [12]),
        ("; drop table", [12]),
        ("--", [12]),
        ("garcia OR wang", []),
        ("garcia*", []),
        ("name:garcia", []),
        ("^jose", []),
        ('" OR "1"="1', []),
    ],
)
def test_no_character_is_a_command(search: Search, text: str, expected: list[int]) -> None:
    assert search(text) == expected


def test_nothing_is_found_across_two_fields(search: Search) -> None:
    assert search("garcia j.garcia") == []
    assert search("garcia\nj.garcia") == []


def test_marks_that_make_another_letter_count(search: Search) -> None:
    assert search("क्रिया") == [11]
    assert search("करया") == []
    assert fold("か") != fold("が")


@pytest.mark.parametrize("text", ["\x00", "\ud7ff", "\ud800", "\U0010ffff", "\u0301", "a" * 255, "\uffff"])
def test_strange_input_never_fails(search: Search, text: str) -> None:
    assert search(text) in ([], search(" "), [found.id for found in PEOPLE])


@given(st.text(), st.lists(st.text() | st.text("ab@.", max_size=6)), st.lists(st.text("ab@.", max_size=6)))
def test_a_piece_of_a_field_is_a_piece_of_the_searchable_text(
    name: str, addresses: list[str], others: list[str]
) -> None:
    domains = Domains.common(map(fold, (*addresses, *others)))
    text = searchable_text(name, addresses, domains.shorten)

    for field in (name, *addresses):
        assert fold(field) in domains.expand(text)
    assert text.startswith(fold(name) + FIELD_END)
    assert text.endswith(2 * FIELD_END)


short_texts = st.text("ab@.", max_size=6)


@given(short_texts, st.lists(short_texts, max_size=2), st.lists(short_texts), st.text("ab@.", min_size=1, max_size=4))
def test_a_shortened_text_contains_an_alternative_if_the_text_contains_the_term(
    name: str, addresses: list[str], others: list[str], term: str
) -> None:
    domains = Domains.common((*addresses, *others))
    text = searchable_text(name, addresses, domains.shorten)

    found = any(alternative in text for alternative in domains.alternatives(term))
    assert found == any(term in field for field in (name, *addresses))


@given(st.text())
def test_folding_is_stable_and_leaves_no_field_end(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert FIELD_END not in fold(text)
    assert fold(text) == fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))
    fold(text).encode()


def test_a_renamed_user_is_found_by_the_new_name_only(tmp_path: Path) -> None:
    ledger = PlainLedger(str(uuid.uuid4()))
    replica = Replica(ledger, tmp_path, ledger.tenant_id)

    def found(text: str) -> list[int]:
        replica.catch_up(Deadline.after(REQUEST_BUDGET))
        return [item.id for item in replica.users(UserQuery(search=text)).items]

    ledger.commit(user(1, "Before"), user(2, "Other"))
    assert found("before") == [1]
    ledger.commit(user(1, "After"))
    assert (found("before"), found("after")) == ([], [1])
    ledger.commit(
        User(id=1, name="Local", is_active=True, created_at=PEOPLE[0].created_at, updated_at=PEOPLE[0].updated_at)
    )
    assert (found("after"), found("local"), found("other")) == ([], [], [2])
    replica.close()
