"""`manage.py doctor` beside a complete installation with its keys in a vault, and with each part of it broken."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import certifi
import pytest
from click.testing import CliRunner

import shared.services
from local.azurite.azurite import Azurite
from local.entra.control import EntraEmulator, Tenant
from local.key_vault.control import OFFICER, READER, KeyVaultEmulator, Vault
from local.stack import Stack, free_port, key_vault_settings, running_stack
from shared.cli import doctor
from shared.cli.checkup import network
from shared.cli.checkup.checks import Mark
from shared.context import system_clock
from shared.directory.head import HEAD_KEY
from shared.directory.rows import decode_row, encode_row
from shared.directory.tables import TableStore
from shared.services import Services
from shared.settings import Settings

Findings = list[tuple[str, str, str]]
Examine = Callable[..., Findings]


@pytest.fixture(scope="module")
def installation(
    azurite: Azurite, entra: EntraEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Vault, Tenant]]:
    tenant = entra.new_tenant()
    with KeyVaultEmulator.start(entra) as emulator:
        vault = emulator.new_vault(tenant)
        folder, settings = tmp_path_factory.mktemp("doctor"), key_vault_settings(vault)
        with running_stack(azurite, entra, tenant, folder, settings) as stack:
            # The OCSP responder gets its certificate now, or the first test to take the key away would delay it.
            network.public_addresses(Services(Settings.read(stack.settings)))
            yield stack, vault, tenant


@pytest.fixture
def stack(installation: tuple[Stack, Vault, Tenant]) -> Stack:
    return installation[0]


@pytest.fixture
def examine(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Runs `doctor --json` with changed settings; returns check, status, and detail with remedy of each finding."""

    def invoke(code: int = 1, **changed: str) -> Findings:
        environment: Mapping[str, str] = {**stack.settings, **changed}
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, environment[name])

        def services() -> Services:
            return Services(Settings.read(environment))

        monkeypatch.setattr(shared.services, "services", services)
        result = CliRunner().invoke(doctor.command, ["--json"])
        assert result.exit_code == code, result.output
        told: list[dict[str, Any]] = json.loads(result.stdout)
        return [(each["check"], each["status"], f"{each['detail']} {each['remedy'] or ''}") for each in told]

    return invoke


def failures(findings: Findings) -> dict[str, str]:
    return {check: text for check, status, text in findings if status == "failed"}


def test_a_good_installation_passes(stack: Stack, examine: Examine) -> None:
    stack.entra.add_user("ada@contoso.example")
    stack.fire_timer("sync_tenant")
    stack.fire_timer("anchor_log")

    findings = examine(code=0)

    assert [finding for finding in findings if finding[1] != "ok"] == []
    assert {check for check, _, _ in findings} >= {"settings", "clock", "storage: log", "CA: keys", "search index"}
    assert sum(check == "CA: public addresses" for check, _, _ in findings) == 3


def test_a_wrong_secret_is_named_and_what_needs_it_is_skipped(examine: Examine) -> None:
    findings = examine(ENTRA_CLIENT_SECRET="not the secret")

    assert "ENTRA_CLIENT_SECRET must be the secret's value" in failures(findings)["Entra: sign-in"]
    assert ("Entra: permissions", "skipped") in [(check, status) for check, status, _ in findings]


def test_a_missing_permission_is_named(examine: Examine, installation: tuple[Stack, Vault, Tenant]) -> None:
    _, vault, tenant = installation
    app = tenant.new_app(graph=["User.Read.All"])
    vault.assign_roles(app, OFFICER)

    findings = examine(ENTRA_CLIENT_ID=app.client_id, ENTRA_CLIENT_SECRET=app.client_secret)

    assert "GroupMember.Read.All" in failures(findings)["Entra: permissions"]
    assert list(failures(findings)) == ["Entra: permissions"]


def test_more_permissions_than_needed_are_a_warning(
    examine: Examine, installation: tuple[Stack, Vault, Tenant]
) -> None:
    _, vault, tenant = installation
    app = tenant.new_app(graph=["Directory.Read.All", "User.ReadWrite.All"])
    vault.assign_roles(app, OFFICER)

    findings = examine(code=0, ENTRA_CLIENT_ID=app.client_id, ENTRA_CLIENT_SECRET=app.client_secret)

    warnings = [text for check, status, text in findings if (check, status) == ("Entra: permissions", "warning")]
    assert any("may change things in Entra ID: User.ReadWrite.All" in text for text in warnings)
    assert any("GroupMember.Read.All is enough" in text for text in warnings)


def test_a_vault_that_does_not_let_the_app_sign_is_told_from_one_that_does(
    examine: Examine, installation: tuple[Stack, Vault, Tenant]
) -> None:
    _, vault, tenant = installation
    vault.assign_roles(tenant.app, READER)
    try:
        findings = examine()
    finally:
        vault.assign_roles(tenant.app, OFFICER)

    assert "keys/sign/action" in failures(findings)["CA: keys"]
    assert "Key Vault Crypto User" in failures(findings)["CA: keys"]


def test_a_disabled_key_is_named(examine: Examine, installation: tuple[Stack, Vault, Tenant]) -> None:
    _, vault, _ = installation
    vault.set_attributes("user-ca", enabled=False)
    try:
        findings = examine()
    finally:
        vault.set_attributes("user-ca", enabled=True)

    assert "is disabled" in failures(findings)["CA: keys"]
    assert ("CA: CRLs", "skipped") in [(check, status) for check, status, _ in findings]


def test_a_trial_signature_can_never_be_taken_for_one_of_a_certificate(
    examine: Examine, installation: tuple[Stack, Vault, Tenant]
) -> None:
    _, vault, _ = installation
    before = len(vault.signatures())

    examine(code=0)

    assert len(vault.signatures()) == before + 1
    from shared.cli.checkup.signing import TRIAL_TEXT

    assert TRIAL_TEXT[0] != 0x30  # SEQUENCE, as all DER that is signed begins


def test_storage_that_is_down_is_named_and_nothing_else_waits_for_it(stack: Stack, examine: Examine) -> None:
    tables, blobs = (
        f"http://127.0.0.1:{free_port()}/devstoreaccount1",
        f"http://127.0.0.1:{free_port()}/devstoreaccount1",
    )
    parts = dict(part.split("=", 1) for part in stack.settings["AzureWebJobsStorage"].split(";") if part)
    parts |= {"TableEndpoint": tables, "BlobEndpoint": blobs}

    findings = examine(AzureWebJobsStorage=";".join(f"{name}={value}" for name, value in parts.items()))

    found = failures(findings)
    assert {"network: Table storage", "network: Blob storage", "storage: table", "storage: blobs"} <= set(found)
    assert "firewall" in found["storage: table"]
    assert "skipped" in {status for check, status, _ in findings if check == "CA: keys"}
    assert "Entra: sign-in" not in found


def test_a_malformed_connection_string_is_told_without_repeating_it(examine: Examine) -> None:
    findings = examine(AzureWebJobsStorage="AccountKey=c2VjcmV0;rubbish")

    assert "malformed" in failures(findings)["storage: table"]
    assert "c2VjcmV0" not in str(findings)


def test_a_table_that_is_not_there_is_named_with_the_command_that_makes_it(examine: Examine) -> None:
    found = failures(examine(DIRECTORY_TABLE="nosuchtable"))

    assert "az storage table create --name nosuchtable" in found["storage: table"]
    assert "az storage container create --name nosuchtable" in found["storage: blobs"]


def test_a_bundle_that_does_not_vouch_for_the_hosts_is_named(examine: Examine) -> None:
    found = failures(examine(REQUESTS_CA_BUNDLE=certifi.where(), SSL_CERT_FILE=certifi.where()))

    for name in ("Entra ID", "Microsoft Graph", "Key vault"):
        assert "REQUESTS_CA_BUNDLE" in found[f"network: {name}"]
    assert "vault" in found["CA: keys"]  # which may fail on the way to its token, or at the vault's own door


def test_a_clock_that_is_wrong_is_told(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", stack.settings["REQUESTS_CA_BUNDLE"])
    urls = [stack.settings["ENTRA_AUTHORITY_HOST"]]

    def marks(skew: timedelta) -> list[Mark]:
        return [finding.mark for finding in network.clocks(urls, lambda: system_clock() + skew)]

    assert marks(timedelta(minutes=-6)) == [Mark.FAILED]
    assert marks(timedelta(minutes=2)) == [Mark.WARNING]
    assert marks(timedelta(0)) == [Mark.OK]


def test_addresses_that_lead_nowhere_are_told(examine: Examine) -> None:
    found = failures(examine(PKI_PUBLIC_URL=f"http://127.0.0.1:{free_port()}"))

    assert "cannot be fetched" in found["CA: public addresses"]


def test_addresses_that_lead_to_https_are_told(examine: Examine) -> None:
    class Redirecting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(301)
            self.send_header("Location", f"https://{self.headers['Host']}{self.path}")
            self.end_headers()

        do_POST = do_GET  # noqa: N815  (the base class names it so)

        def log_message(self, format: str, *arguments: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        findings = examine(PKI_PUBLIC_URL=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()

    told = [text for check, status, text in findings if (check, status) == ("CA: public addresses", "failed")]
    assert len(told) == 3
    assert all("httpsOnly" in text for text in told)


def test_a_head_that_does_not_go_with_the_log_is_told(stack: Stack, examine: Examine) -> None:
    tables = TableStore.from_connection_string(stack.azurite.connection_string, "directory")
    entity = tables.get(stack.entra.id, HEAD_KEY)
    assert entity is not None
    head = decode_row(entity)
    tables.put(stack.entra.id, HEAD_KEY, encode_row({**head, "last_hash": "0" * 64}), None)
    try:
        findings = examine()
    finally:
        tables.put(stack.entra.id, HEAD_KEY, encode_row(head), None)

    assert "audit verify" in failures(findings)["storage: log"]


def test_settings_that_are_wrong_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def services() -> Services:
        return Services(Settings.read({"ENTRA_TENANT_ID": "no guid", "ENTRA_CLOUD": "mars"}))

    monkeypatch.setattr(shared.services, "services", services)

    result = CliRunner().invoke(doctor.command, ["--json"])

    assert result.exit_code == 1
    told = [each["detail"] for each in json.loads(result.stdout)]
    for name in ("ENTRA_TENANT_ID", "ENTRA_CLIENT_ID", "ENTRA_CLOUD", "AzureWebJobsStorage"):
        assert any(detail.startswith(name) for detail in told)


def test_people_see_signs_and_what_to_do(examine: Examine, stack: Stack, tmp_path: Path) -> None:
    examine(code=0)

    result = CliRunner().invoke(doctor.command, [])

    assert "✓" in result.stdout
    assert result.exit_code == 0
