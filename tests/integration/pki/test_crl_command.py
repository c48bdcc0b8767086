"""`manage.py crl`, `manage.py ca reconcile` and what health says of CRLs, on the app's own objects."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from cryptography import x509

from local.azurite.azurite import Azurite
from shared.cli import ca as ca_command
from shared.cli import crl as crl_command
from shared.context import system_clock
from shared.directory.ledger import Request
from shared.directory.records.crl import CrlPointer, crl_key
from shared.directory.tables import TableStore
from shared.errors import AppError
from shared.health import Finding, HealthStatus
from shared.health_probes import CRL_LARGE, crl
from shared.pki.crl.errors import CrlNotOurs
from shared.services import Services
from tests.support.app import app_of
from tests.support.crls import number_of
from tests.support.pki import context

Run = Callable[..., Any]


@pytest.fixture
def app(
    azurite: Azurite, tables: TableStore, tenant_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Services:
    """The app's own objects, on a tenant of the test's own, with an issuer."""
    built = app_of(azurite, tenant_id, tmp_path, monkeypatch)
    built.blobs.create_if_missing()
    return built


@pytest.fixture
def run() -> Run:
    """Runs a command with `--json` and returns what it printed; raises what main() would turn into a sentence."""

    def invoke(command: click.Command, *arguments: str) -> Any:
        result = CliRunner().invoke(command, [*arguments, "--json"])
        if result.exception is not None:
            raise result.exception
        return json.loads(result.stdout)

    return invoke


def initialize(run: Run) -> str:
    (issuer,) = run(ca_command.command, "init", "--name", "Contoso Users CA", "--key-type", "P-256")
    return str(issuer["id"])


def test_publish_makes_one_and_show_shows_it(app: Services, run: Run) -> None:
    issuer_id = initialize(run)
    assert run(crl_command.command, "show") == []

    (published,) = run(crl_command.command, "publish")
    (again,) = run(crl_command.command, "publish", "--if-due", "--issuer", issuer_id)
    (shown,) = run(crl_command.command, "show")

    assert published == again == shown
    assert (shown["issuer_id"], shown["number"], shown["entries"]) == (issuer_id, 1, 0)
    assert app.crl_store.current(issuer_id).sha256 == shown["sha256"]


def test_publish_without_if_due_always_makes_one(app: Services, run: Run) -> None:
    initialize(run)

    numbers = [run(crl_command.command, "publish")[0]["number"] for _ in range(2)]

    assert numbers == [1, 2]


def test_the_tables_are_for_people(app: Services, run: Run) -> None:
    initialize(run)

    said = CliRunner().invoke(crl_command.command, ["publish"]).stdout

    assert "Number" in said and "nextUpdate" in said


def test_reconcile_goes_past_a_crl_that_was_brought(app: Services, run: Run, tmp_path: Path) -> None:
    issuer_id = initialize(run)
    for _ in range(3):
        run(crl_command.command, "publish")
    copy = tmp_path / "last.crl"
    copy.write_bytes(app.crl_store.current(issuer_id).der)

    (issuer,) = run(ca_command.command, "reconcile", "--crl", str(copy), "--skip-ids", "5")

    assert issuer == {"issuer_id": issuer_id, "number": 3, "revoked": 0, "carried": 0}
    der = app.blobs.get(f"crl/{issuer_id}/{4:016d}")
    assert der is not None and number_of(x509.load_der_x509_crl(der)) == 4
    assert app.ledger.head().next_ids["user"] == 6


def test_reconcile_refuses_what_is_no_crl_of_ours(app: Services, run: Run, tmp_path: Path) -> None:
    initialize(run)
    (tmp_path / "other").write_bytes(b"no CRL")

    with pytest.raises(CrlNotOurs):
        run(ca_command.command, "reconcile", "--crl", str(tmp_path / "other"))


def change(app: Services, issuer_id: str, **changes: Any) -> Finding:
    """What health says after the pointer was changed."""
    pointer = app.ledger.get(CrlPointer, crl_key(issuer_id))
    assert pointer is not None
    app.ledger.commit(Request("test", context(), lambda tx: tx.put(replace(pointer, **changes))), context().deadline)
    return crl(app)


def test_health_tells_what_is_wrong_with_a_crl(app: Services, run: Run) -> None:
    assert crl(app).status is HealthStatus.NOT_CONFIGURED
    issuer_id = initialize(run)
    app.authority.forget()
    assert crl(app).status is HealthStatus.DEGRADED
    run(crl_command.command, "publish")
    assert crl(app).status is HealthStatus.HEALTHY
    now = system_clock()

    late = change(app, issuer_id, built_at=now - timedelta(hours=2))
    large = change(app, issuer_id, built_at=now, size=CRL_LARGE)
    ended = change(app, issuer_id, next_update=now - timedelta(seconds=1))

    assert late.status is HealthStatus.DEGRADED and "120 minutes" in str(late.reason)
    assert large.status is HealthStatus.DEGRADED and "20 MB" in str(large.reason)
    assert ended.status is HealthStatus.UNHEALTHY


def test_publishing_for_an_unknown_issuer_is_refused(app: Services, run: Run) -> None:
    initialize(run)

    with pytest.raises(AppError, match="no issuer"):
        run(crl_command.command, "publish", "--issuer", "0" * 16)
