"""`manage.py export` and `manage.py stats`, on a directory with certificates of every fate."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from local.azurite.azurite import Azurite
from shared.cli import export as export_command
from shared.cli import stats as stats_command
from shared.cli.console import console
from shared.context import system_clock
from shared.directory.ledger import Request, Transaction
from shared.directory.records.certificate import RevocationReason
from shared.directory.records.crl import CarriedRevocation
from shared.directory.tables import TableStore
from shared.pki.keys import KeyType
from shared.services import Services
from tests.support.app import app_of
from tests.support.pki import TestCa, context, order

Run = Callable[..., Result]


@pytest.fixture
def app(
    azurite: Azurite, tables: TableStore, tenant_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Services:
    """Three certificates of three users: one good, one revoked, one on hold; and one that only a CRL remembers."""
    built = app_of(azurite, tenant_id, tmp_path, monkeypatch)
    ca = TestCa.on(built.ledger, built.signing_backend).initialize(KeyType.P_256)
    names = ("Ada Lovelace", '=HYPERLINK("http://x")', 'Björn, "the Second"\nof Åre')
    issued = [ca.issuance.issue(order(ca.add_user(name=name)), context()).certificate for name in names]
    built.revocation.revoke(issued[1].id, RevocationReason.KEY_COMPROMISE, context())
    built.revocation.revoke(issued[2].id, RevocationReason.CERTIFICATE_HOLD, context())

    def remember(tx: Transaction) -> None:
        reason = RevocationReason.SUPERSEDED
        tx.put(CarriedRevocation(issuer_id="0011", serial_number="0abc", revoked_at=tx.time, reason=reason))

    built.ledger.commit(Request("carried", context(), remember), context().deadline)
    return built


@pytest.fixture
def run(app: Services) -> Run:
    def invoke(*arguments: str) -> Result:
        command = {"export": export_command.command, "stats": stats_command.command}[arguments[0]]
        result = CliRunner().invoke(command, list(arguments[1:]))
        if result.exception is not None:
            raise result.exception
        return result

    return invoke


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_users_come_out_as_they_are_but_for_formulas(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"

    told = json.loads(run("export", "users", str(file), "--json").stdout)

    rows = rows_of(file.read_bytes().decode("utf-8"))
    assert told == {"file": str(file), "rows": 3}
    assert [row["name"] for row in rows] == [
        "Ada Lovelace",
        '\'=HYPERLINK("http://x")',
        'Björn, "the Second"\nof Åre',
    ]
    assert rows[0]["is_active"] == "true"
    assert rows[0]["synced_at"].endswith("Z")
    assert file.stat().st_mode & 0o777 == 0o600


def test_certificates_have_the_status_that_counts(run: Run, app: Services) -> None:
    rows = rows_of(run("export", "certificates", "-").stdout)

    assert [(row["status"], row["revocation_reason"]) for row in rows] == [
        ("active", ""),
        ("revoked", "keyCompromise"),
        ("held", "certificateHold"),
    ]
    assert all(row["serial_number"] and row["not_after"].endswith("Z") for row in rows)


def test_revocations_include_what_only_a_crl_remembers(run: Run) -> None:
    rows = rows_of(run("export", "revocations", "-").stdout)

    assert [(row["certificate_id"], row["status"]) for row in rows] == [
        ("2", "revoked"),
        ("3", "held"),
        ("", "revoked"),
    ]
    assert rows[2]["serial_number"] == "0abc"


def test_an_export_replaces_an_older_one_whole(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("older")

    run("export", "users", str(file))

    assert len(rows_of(file.read_text(encoding="utf-8"))) == 3
    assert [path.name for path in tmp_path.glob("users*")] == ["users.csv"]


def test_figures_and_periods_agree_with_the_directory(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "chart.svg"

    told = json.loads(run("stats", "--by", "day", "--past", "2", "--ahead", "366", "--svg", str(file), "--json").stdout)

    assert told["users"]["total"] == 3
    assert told["certificates"]["active"] == 1
    assert sum(period["issued"] for period in told["periods"]) == 3
    assert sum(period["revoked"] for period in told["periods"]) == 2
    assert sum(period["ending"] for period in told["periods"]) == 1
    assert told["periods"][1]["period"] == f"{system_clock():%Y-%m-%d}"
    assert ElementTree.fromstring(file.read_text(encoding="utf-8")).tag.endswith("svg")


def test_people_see_bars(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 120)

    shown = run("stats").stdout

    assert "█" in shown
    assert f"{system_clock():%Y-%m}" in shown
    assert "expiring 30 days" in shown
