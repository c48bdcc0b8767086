"""The deletion guard counts certificates too: a directory that disables or renames everybody takes none of them."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from click.testing import CliRunner

import shared.services
from local.entra.control import DirectoryObject, Tenant, new_user
from shared.cli.console import console
from shared.cli.sync import command
from shared.context import Context
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import RevocationReason
from shared.directory.records.user import User
from shared.entra.tenant_sync import ORDINARY, SyncOrder, TenantSync
from shared.entra.tenant_sync.report import Outcome
from shared.health import HealthStatus
from shared.health_probes import sync as probe_sync
from shared.pki.revocation.departures import DeparturePolicy, Departures
from shared.services import Services
from tests.integration.entra.conftest import Policy, SyncWith
from tests.support.in_step import differences
from tests.support.pki import TestCa, order, software_backend
from tests.support.pki import context as pki_context

LIMIT = Policy(max_removals=3, max_removals_share=0.05)
ACCEPTED = SyncOrder(accept_removals=True)
FULL = SyncOrder(full=True)
OBSERVER = Departures(DeparturePolicy()).observe


@pytest.fixture
def guarded(sync_with: SyncWith) -> TenantSync:
    return sync_with(LIMIT, observers=[OBSERVER])


@pytest.fixture
def people(tenant: Tenant, guarded: TenantSync, context: Context) -> list[DirectoryObject]:
    """Eight users, synchronized."""
    users = tenant.add_users([new_user(f"user{number}@contoso.example") for number in range(8)])
    assert guarded.run(context).outcome is Outcome.COMPLETED
    return users


@pytest.fixture
def ca(ledger: Ledger, tmp_path: Path) -> TestCa:
    return TestCa.on(ledger, software_backend(tmp_path)).initialize()


@pytest.fixture
def certified(ca: TestCa, people: list[DirectoryObject]) -> list[DirectoryObject]:
    """The first six have a certificate each."""
    for person in people[:6]:
        certify(ca, person)
    return people


def record_of(ledger: Ledger, person: DirectoryObject) -> User:
    return next(user for user in ledger.scan(User) if user.object_id == person.id)


def certify(ca: TestCa, person: DirectoryObject) -> None:
    ca.issuance.issue(order(record_of(ca.ledger, person)), pki_context())


def statuses(ca: TestCa) -> Counter[str]:
    return Counter(certificate.status for certificate in ca.certificates())


def test_more_certificates_than_the_limit_are_kept_until_an_operator_accepts(
    tenant: Tenant,
    guarded: TenantSync,
    ledger: Ledger,
    context: Context,
    ca: TestCa,
    certified: list[DirectoryObject],
) -> None:
    for person in certified[:4]:
        tenant.disable(person)
    tenant.update_user(certified[5], jobTitle="Boss")

    for run in (ORDINARY, FULL):
        report = guarded.run(context, run)
        assert (report.outcome, report.deactivated, report.counts.certificates) == (Outcome.HELD, 0, 0)
        assert statuses(ca) == {"issued": 6}
        assert record_of(ledger, certified[0]).is_active
    assert record_of(ledger, certified[5]).job_title == "Boss"

    accepted = guarded.run(context, ACCEPTED)
    assert (accepted.outcome, accepted.deactivated, accepted.counts.certificates) == (Outcome.COMPLETED, 4, 4)
    assert statuses(ca) == {"issued": 2, "held": 4}
    assert guarded.status().held is None
    assert differences(tenant.snapshot(), ledger) == []


def test_held_certificates_are_told_in_status_and_health(
    tenant: Tenant, guarded: TenantSync, context: Context, ca: TestCa, certified: list[DirectoryObject]
) -> None:
    for person in certified[:4]:
        tenant.disable(person)
    guarded.run(context)

    status = guarded.status()
    assert status.needs_attention
    assert status.held is not None
    assert (status.held.certificates, status.held.removals, status.held.limit) == (4, 0, 3)
    finding = probe_sync(cast(Services, SimpleNamespace(tenant_sync=guarded)))
    assert finding.status is HealthStatus.DEGRADED
    assert "more than 3 certificates" in (finding.reason or "")
    assert "--accept-removals" in (finding.reason or "")


def test_as_many_as_the_limit_allows_are_taken_at_once(
    tenant: Tenant,
    guarded: TenantSync,
    ledger: Ledger,
    context: Context,
    ca: TestCa,
    certified: list[DirectoryObject],
) -> None:
    for person in [*certified[:3], *certified[6:]]:  # the last two have none
        tenant.disable(person)

    report = guarded.run(context)

    assert (report.outcome, report.deactivated, report.counts.certificates) == (Outcome.COMPLETED, 5, 3)
    assert report.counts.certificates == 3
    assert statuses(ca) == {"issued": 3, "held": 3}
    assert differences(tenant.snapshot(), ledger) == []


def test_the_share_is_one_of_all_usable_certificates(
    tenant: Tenant, sync_with: SyncWith, context: Context, ca: TestCa, certified: list[DirectoryObject]
) -> None:
    half = sync_with(Policy(max_removals=1, max_removals_share=0.5), observers=[OBSERVER])
    for person in certified[:3]:
        tenant.disable(person)
    assert half.run(context).outcome is Outcome.COMPLETED
    for person in certified[3:5]:  # two of the three that are left
        tenant.disable(person)
    assert half.run(context).outcome is Outcome.HELD
    assert statuses(ca) == {"issued": 3, "held": 3}


def test_a_domain_that_is_renamed_by_mistake_costs_nobody_a_certificate(
    tenant: Tenant,
    guarded: TenantSync,
    ledger: Ledger,
    context: Context,
    ca: TestCa,
    certified: list[DirectoryObject],
) -> None:
    names = [person.user_principal_name for person in certified]
    for person in certified:
        tenant.update_user(person, userPrincipalName=person.user_principal_name.replace("contoso", "fabrikam"))
    assert guarded.run(context).outcome is Outcome.HELD
    assert record_of(ledger, certified[0]).user_principal_name == names[0]
    assert record_of(ledger, certified[7]).user_principal_name == names[7].replace("contoso", "fabrikam")

    for person, name in zip(certified, names, strict=True):
        tenant.update_user(person, userPrincipalName=name)
    assert guarded.run(context).outcome is Outcome.COMPLETED
    assert statuses(ca) == {"issued": 6}
    assert differences(tenant.snapshot(), ledger) == []


def test_few_users_with_many_certificates_are_many(
    tenant: Tenant,
    guarded: TenantSync,
    ledger: Ledger,
    context: Context,
    ca: TestCa,
    certified: list[DirectoryObject],
) -> None:
    for person in certified[:2]:
        certify(ca, person)
        tenant.delete(person)

    assert guarded.run(context).outcome is Outcome.HELD
    assert statuses(ca) == {"issued": 8}
    assert record_of(ledger, certified[0]).deletion is None

    assert guarded.run(context, ACCEPTED).counts.certificates == 4
    assert statuses(ca) == {"issued": 4, "held": 4}
    for person in certified[:2]:
        tenant.purge(person)
    report = guarded.run(context)  # what was on hold already is no further loss
    assert (report.outcome, report.counts.certificates) == (Outcome.COMPLETED, 0)
    assert statuses(ca) == {"issued": 4, "revoked": 4}


def test_a_dry_run_says_who_would_lose_which_certificate_and_why(
    tenant: Tenant,
    ledger: Ledger,
    sync_with: SyncWith,
    context: Context,
    ca: TestCa,
    certified: list[DirectoryObject],
) -> None:
    staff = tenant.add_group("Staff")
    tenant.add_member(staff, *certified[:4])
    scoped = sync_with(replace(LIMIT, group_ids=(staff.id,)), observers=[OBSERVER])
    tenant.disable(certified[0])
    tenant.update_user(certified[1], userPrincipalName="renamed@contoso.example")
    tenant.delete(certified[2])
    tenant.delete(certified[3])
    tenant.purge(certified[3])
    before = ledger.head()

    preview = scoped.preview(context)

    serials = {certificate.user_id: certificate.serial_number for certificate in ca.certificates()}
    found = {each.user_id: (each.because, each.certificate.reason) for each in preview.certificates}
    ids = [record_of(ledger, person).id for person in certified]
    assert found == {
        ids[0]: ("disabled", RevocationReason.CERTIFICATE_HOLD),
        ids[1]: ("renamed", RevocationReason.SUPERSEDED),
        ids[2]: ("deleted", RevocationReason.CERTIFICATE_HOLD),
        ids[3]: ("deleted for good", RevocationReason.CESSATION_OF_OPERATION),
        ids[4]: ("out of scope", RevocationReason.CERTIFICATE_HOLD),
        ids[5]: ("out of scope", RevocationReason.CERTIFICATE_HOLD),
    }
    assert all(each.certificate.serial_number == serials[each.user_id] for each in preview.certificates)
    assert (preview.updated, preview.leaving) == (2, 6)
    assert "More than 3 users" in (preview.held or "")
    assert ledger.head() == before
    assert statuses(ca) == {"issued": 6}


def test_the_command_shows_it_as_a_table_and_as_json(
    tenant: Tenant,
    guarded: TenantSync,
    context: Context,
    ca: TestCa,
    certified: list[DirectoryObject],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared.services, "services", lambda: SimpleNamespace(tenant_sync=guarded))
    tenant.disable(certified[2])
    certificate = ca.certificates()[2]

    [lost] = json.loads(CliRunner().invoke(command, ["--dry-run", "--json"]).stdout)["certificates"]
    assert lost == {
        "certificate_id": certificate.id,
        "serial_number": certificate.serial_number,
        "subject": certificate.subject,
        "user_id": certificate.user_id,
        "user_principal_name": "user2@contoso.example",
        "because": "disabled",
        "reason": "certificateHold",
    }
    monkeypatch.setattr(console, "width", 200)
    table = CliRunner().invoke(command, ["--dry-run"]).stdout
    assert certificate.serial_number in table
    assert "certificateHold" in table
