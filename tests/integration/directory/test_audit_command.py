"""`manage.py audit`, as an operator uses it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import shared.services
from local.azurite.azurite import Azurite
from shared.cli.audit import command
from shared.cli.console import console
from shared.context import Actor, ActorKind, Context
from shared.directory.ledger import Ledger
from shared.directory.rows import encode_row
from shared.directory.tables import TableStore
from shared.pki.authority.log_anchors import FoundAnchors
from tests.support.ledger_story import change_note, count_up, note_key, soon, write_note

Run = Callable[..., Result]
ADA = Actor(ActorKind.USER, "6f5e", "Ada [red]Love\x1blace")


class NoAnchors:
    """A directory whose log was never signed."""

    @staticmethod
    def found() -> FoundAnchors:
        return FoundAnchors((), (), ())


no_anchors = NoAnchors()


@pytest.fixture
def run(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Run:
    """On a ledger of four log rows."""
    monkeypatch.setattr(shared.services, "services", lambda: SimpleNamespace(ledger=ledger, log_anchors=no_anchors))
    ledger.commit_all([write_note("one", "request-1"), write_note("two", "request-2")], soon())
    ledger.commit(replace(change_note(2, "better"), context=Context(ADA, "request-3")), soon())
    ledger.commit(count_up("a", "request-4"), soon())
    return lambda *arguments: CliRunner().invoke(command, arguments)


def listed(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [(entry["seq"], entry["action"], entry["request_id"]) for entry in json.loads(result.stdout)]


def test_list_tells_who_did_what_when(run: Run) -> None:
    (entry,) = json.loads(run("list", "--after", "1", "--limit", "2", "--actor", "6f5e", "--json").stdout)

    assert entry["actor"] == {"kind": "user", "id": "6f5e", "name": ADA.name}
    assert (entry["seq"], entry["action"], entry["request_id"]) == (2, "note.changed", "request-3")
    assert [change["key"] for change in entry["changes"]] == [note_key(2)]
    assert entry["time"].endswith("Z")


@pytest.mark.parametrize(
    ("options", "requests"),
    [
        ([], ["request-1", "request-2", "request-3", "request-4"]),
        (["--key", note_key(2)], ["request-2", "request-3"]),
        (["--key", "note|"], ["request-1", "request-2", "request-3"]),
        (["--action", "counter.up"], ["request-4"]),
        (["--actor", "tester"], ["request-1", "request-2", "request-4"]),
        (["--actor", ADA.name], ["request-3"]),
        (["--after", "1"], ["request-3", "request-4"]),
        (["--limit", "2"], ["request-3", "request-4"]),
        (["--actor", "nobody"], []),
    ],
)
def test_list_filters(run: Run, options: list[str], requests: list[str]) -> None:
    assert [request for _, _, request in listed(run("list", *options, "--json"))] == requests


def test_list_prints_names_as_they_are(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 300)

    result = run("list", "--key", note_key(2))

    assert result.stdout.count(note_key(2)) == 2
    assert "Ada [red]Love\N{REPLACEMENT CHARACTER}lace" in result.stdout
    assert "\x1b" not in result.stdout


def test_verify_says_that_all_is_well(run: Run) -> None:
    result = run("verify")

    assert result.exit_code == 0
    assert "Intact: 3 log rows and 3 records checked, up to log row 3." in " ".join(result.stdout.split())


def test_verify_names_what_is_wrong_and_fails(run: Run, tables: TableStore, ledger: Ledger) -> None:
    tables.put(ledger.tenant_id, note_key(2), encode_row({"id": 2, "text": "forged"}), None)
    tables.put(ledger.tenant_id, "[bold]", encode_row({"text": "foreign"}), None)

    result = run("verify")
    as_json = run("verify", "--json")

    assert (result.exit_code, as_json.exit_code) == (1, 1)
    assert "Not intact" in result.stdout
    assert "note|0000000002: altered: it is not what log row 2 says" in result.stdout
    assert "[bold]: added: no log row names it" in result.stdout
    findings = json.loads(as_json.stdout)["findings"]
    assert [finding["key"] for finding in findings] == ["[bold]", note_key(2)]


def test_verify_runs_with_nothing_but_the_settings(azurite: Azurite, ledger: Ledger) -> None:
    ledger.commit(write_note("x"), soon())
    settings = {
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "AzureWebJobsStorage": azurite.connection_string,
        "ENTRA_TENANT_ID": ledger.tenant_id,
        "ENTRA_CLIENT_ID": "11111111-1111-4111-8111-111111111111",
        "ENTRA_CLIENT_SECRET": "not used here",
    }
    manage = Path(__file__).parents[3] / "manage.py"

    done = subprocess.run(
        [sys.executable, manage, "audit", "verify", "--json"],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seq"] == 1
