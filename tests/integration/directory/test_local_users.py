"""Importing people who are not from Entra, through the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

import shared.services
from shared.cli.users import command
from shared.directory.ledger import Ledger
from shared.directory.records.user import User

Import = Callable[[str | bytes], Result]


@pytest.fixture
def run(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    monkeypatch.setattr(shared.services, "services", lambda: SimpleNamespace(ledger=ledger))

    def import_text(text: str | bytes) -> Result:
        file = tmp_path / "people.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return CliRunner().invoke(command, ["import", str(file), "--json"])

    return import_text


def counts(result: Result) -> dict[str, int]:
    assert result.exit_code == 0, result.output
    found: dict[str, int] = json.loads(result.stdout)
    return found


def test_imported_people_are_local_active_users(run: Import, ledger: Ledger) -> None:
    assert counts(run("name,email\nZoë Ångström,zoe@partner.example\nNo Mail,\n")) == {
        "created": 2,
        "updated": 0,
        "unchanged": 0,
    }
    users = list(ledger.scan(User))
    assert [(user.id, user.name, user.email) for user in users] == [
        (1, "Zoë Ångström", "zoe@partner.example"),
        (2, "No Mail", None),
    ]
    assert not any(user.is_synchronized for user in users)


def test_a_second_import_updates_the_same_people(run: Import, ledger: Ledger) -> None:
    header = "name,user_principal_name,department\n"
    run(f"{header}Ada,ada@x.example,A\nBob,bob@x.example,B\n")
    assert counts(run(f"{header}Ada,ADA@x.example,C\nBob,bob@x.example,B\n")) == {
        "created": 0,
        "updated": 1,
        "unchanged": 1,
    }
    assert [user.department for user in ledger.scan(User)] == ["C", "B"]


def test_the_same_person_twice_in_a_file_is_one_user(run: Import, ledger: Ledger) -> None:
    run("name,email\nAda,ada@x.example\nAda L.,ada@x.example\n")
    assert [user.name for user in ledger.scan(User)] == ["Ada L."]


def test_hundreds_are_imported_in_order(run: Import, ledger: Ledger) -> None:
    run("name,email\n" + "".join(f"Person {number},p{number}@x.example\n" for number in range(200)))
    assert [user.name for user in ledger.scan(User)] == [f"Person {number}" for number in range(200)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must name columns"),
        ("email\na@x.example\n", "`name` is missing"),
        ("name,password\nAda,x\n", "unknown: password"),
        ("name,name\nAda,Ada\n", "twice"),
        ("name,email\nAda,a@x.example\n,b@x.example\n", "Line 3 has no name"),
        ("name,email\nAda\n", "Line 2 has another number of columns"),
        ("name,email\nAda,a,b\n", "Line 2 has another number of columns"),
        ("name,email\nAda,not an address\n", "Line 2: email is not an address"),
        ("name\n" + "x" * 300 + "\n", "Line 2: name is too long"),
        ('name\n"unclosed\n', "not a CSV file"),
        (b"name\n\xff\n", "not a CSV file"),
    ],
)
def test_a_file_with_an_error_imports_nobody(run: Import, ledger: Ledger, text: str | bytes, complaint: str) -> None:
    result = run(text)
    assert result.exit_code == 1
    assert complaint in result.output
    assert ledger.head().seq == 0
