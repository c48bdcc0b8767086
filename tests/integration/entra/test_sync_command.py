"""`manage.py sync` as an operator types it."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import shared.services
from local.entra.control import Tenant, new_user
from shared.cli.sync import command
from shared.directory.ledger import Ledger
from shared.entra.tenant_sync import TenantSync
from tests.support.in_step import differences


@pytest.fixture(autouse=True)
def people(tenant: Tenant, tenant_sync: TenantSync, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(shared.services, "services", lambda: SimpleNamespace(tenant_sync=tenant_sync))
    return tenant.add_users([new_user(f"user{number}@contoso.example") for number in range(12)])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def test_a_sync_shows_a_summary(tenant: Tenant, ledger: Ledger) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "completed" in result.stdout
    assert differences(tenant.snapshot(), ledger) == []


def test_machines_get_json() -> None:
    found = json.loads(run("--json").stdout)
    assert (found["outcome"], found["mode"], found["created"]) == ("completed", "full", 12)
    assert json.loads(run("--full", "--json").stdout)["unchanged"] == 12


def test_a_dry_run_writes_nothing(ledger: Ledger) -> None:
    found = json.loads(run("--dry-run", "--json").stdout)
    assert (found["created"], found["updated"], found["leaving"]) == (12, 0, 0)
    assert ledger.head().seq == 0


def test_held_removals_fail_and_say_what_to_do(tenant: Tenant, ledger: Ledger, people: list[Any]) -> None:
    run()
    for user in people[:8]:
        tenant.delete(user)

    held = run()
    assert held.exit_code == 1
    assert "--accept-removals" in held.stdout.replace("\n", " ")

    accepted = run("--accept-removals")
    assert accepted.exit_code == 0
    assert differences(tenant.snapshot(), ledger) == []


def test_a_failure_is_explained(tenant: Tenant) -> None:
    tenant.grant()
    failed = run()
    assert failed.exit_code == 1
    assert "GroupMember.Read.All" in failed.stdout
