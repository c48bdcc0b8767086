"""`manage.py backup` and `manage.py restore`, as an operator uses them after the tables were lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509

import shared.services
from local.azurite.azurite import Azurite
from shared.cli import backup as backup_command
from shared.cli import restore as restore_command
from shared.directory.audit import verify
from shared.directory.backup.errors import BackupUnusable, RestoreRefused
from shared.directory.records.certificate import Certificate, CertificateStatus, RevocationReason
from shared.directory.records.crl import CrlPointer, crl_key
from shared.directory.tables import TableStore
from shared.pki.crl.errors import CrlNotOurs
from shared.pki.keys import KeyType
from shared.services import Services
from tests.support.app import app_of
from tests.support.crls import number_of, reasons
from tests.support.pki import TestCa, context, order

BuildApp = Callable[..., Services]
Run = Callable[..., Result]


@pytest.fixture
def build_app(
    azurite: Azurite, tables: TableStore, tenant_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BuildApp:
    """The app's own objects, on a tenant and a CA key of the test's own; what commands use is the last one built."""

    def build(**settings: str) -> Services:
        wanted = {"PKI_PUBLIC_URL": "http://pki.contoso.example", **settings}
        built = app_of(azurite, tenant_id, tmp_path, monkeypatch, **wanted)
        built.blobs.create_if_missing()
        return built

    return build


@pytest.fixture
def run() -> Run:
    """Runs `backup …` or `restore …`; raises what main() would turn into a sentence."""

    def invoke(*arguments: str) -> Result:
        command = {"backup": backup_command.command, "restore": restore_command.command}[arguments[0]]
        result = CliRunner().invoke(command, list(arguments[1:]))
        if result.exception is not None:
            raise result.exception
        return result

    return invoke


class Story:
    """A CA with two certificates at the time of the backup; afterwards both are taken away, and life goes on."""

    def __init__(self, app: Services, run: Run, folder: Path) -> None:
        self.file = folder / "backup.gz"
        self.ca = TestCa.on(app.ledger, app.signing_backend).initialize(KeyType.P_256)
        app.authority.forget()
        self.issuer_id = app.authority.active().id
        self.revoked, self.held = self._issue(), self._issue()
        app.crl_publisher.publish(self.issuer_id, context())
        run("backup", str(self.file))
        app.revocation.revoke(self.revoked.id, RevocationReason.KEY_COMPROMISE, context())
        app.revocation.revoke(self.held.id, RevocationReason.CERTIFICATE_HOLD, context())
        self.unknown = self._issue()
        app.revocation.revoke(self.unknown.id, RevocationReason.SUPERSEDED, context())
        for _ in range(3):
            app.crl_publisher.publish(self.issuer_id, context())
        pointer = app.ledger.get(CrlPointer, crl_key(self.issuer_id))
        assert pointer is not None
        self.last_number = pointer.last_number
        self.last_crl = app.crl_store.current(self.issuer_id).der
        self.last_ids = app.ledger.head().next_ids

    def _issue(self) -> Certificate:
        return self.ca.issuance.issue(order(self.ca.add_user()), context()).certificate


def lose_tables(tables: TableStore, tenant_id: str) -> None:
    for partition in (tenant_id, f"{tenant_id}|state"):
        for entity in list(tables.query(partition, "", None)):
            tables.delete(partition, str(entity["RowKey"]))


def assert_nothing_came_back(app: Services, story: Story) -> None:
    crl = x509.load_der_x509_crl(app.crl_store.current(story.issuer_id).der)
    assert number_of(crl) > story.last_number
    listed = {"keyCompromise": story.revoked, "certificateHold": story.held, "superseded": story.unknown}
    assert reasons(crl) == {each.serial_number: reason for reason, each in listed.items()}
    records = {each.id: each.status for each in app.ledger.scan(Certificate)}
    assert records == {story.revoked.id: CertificateStatus.REVOKED, story.held.id: CertificateStatus.HELD}
    again = TestCa.on(app.ledger, app.signing_backend)
    user = again.add_user()
    certificate = again.issuance.issue(order(user), context()).certificate
    assert user.id >= story.last_ids["user"]
    assert certificate.id >= story.last_ids["certificate"]
    assert verify(app.ledger.partition).is_clean


def test_after_a_loss_of_the_tables_nothing_is_given_out_twice_or_comes_back(
    build_app: BuildApp, run: Run, tables: TableStore, tenant_id: str, tmp_path: Path
) -> None:
    story = Story(build_app(), run, tmp_path)
    lose_tables(tables, tenant_id)
    app = build_app()

    told = json.loads(run("restore", str(story.file), "--json").stdout)

    (issuer,) = told["issuers"]
    assert (issuer["number"], issuer["revoked"], issuer["carried"]) == (story.last_number, 2, 1)
    assert_nothing_came_back(app, story)


def test_a_copy_of_the_last_crl_is_enough_where_the_whole_account_was_lost(
    build_app: BuildApp, run: Run, tenant_id: str, tmp_path: Path
) -> None:
    """Into a table of another name: so the container with the CRLs is another, too, and empty."""
    story = Story(build_app(), run, tmp_path)
    copy = tmp_path / "last.crl"
    copy.write_bytes(story.last_crl)
    app = build_app(DIRECTORY_TABLE=f"new{tenant_id.replace('-', '')[:20]}")

    run("restore", str(story.file), "--crl", str(copy))

    assert_nothing_came_back(app, story)


def test_without_any_crl_numbers_still_only_rise(build_app: BuildApp, run: Run, tenant_id: str, tmp_path: Path) -> None:
    story = Story(build_app(), run, tmp_path)
    app = build_app(DIRECTORY_TABLE=f"other{tenant_id.replace('-', '')[:20]}")

    run("restore", str(story.file))

    assert app.crl_store.current(story.issuer_id).number > story.last_number


def test_a_wrong_crl_stops_a_restore_that_then_goes_on_with_the_right_one(
    build_app: BuildApp, run: Run, tables: TableStore, tenant_id: str, tmp_path: Path
) -> None:
    story = Story(build_app(), run, tmp_path)
    lose_tables(tables, tenant_id)
    app = build_app()
    wrong = tmp_path / "wrong.crl"
    wrong.write_bytes(b"no CRL at all")

    with pytest.raises(CrlNotOurs):
        run("restore", str(story.file), "--crl", str(wrong))
    assert app.ledger.head().seq == 0

    run("restore", str(story.file))
    assert_nothing_came_back(app, story)


def test_check_says_whether_it_could_be_done_and_does_nothing(
    build_app: BuildApp, run: Run, tables: TableStore, tenant_id: str, tmp_path: Path
) -> None:
    story = Story(build_app(), run, tmp_path)
    with pytest.raises(RestoreRefused, match="not empty"):
        run("restore", str(story.file), "--check")
    lose_tables(tables, tenant_id)

    told = json.loads(run("restore", str(story.file), "--check", "--json").stdout)

    assert told["tenant_id"] == tenant_id
    assert told["last_log_row"] == told["log_rows"]
    assert list(tables.query(tenant_id, "", None)) == []


def test_a_cut_off_file_changes_nothing(
    build_app: BuildApp, run: Run, tables: TableStore, tenant_id: str, tmp_path: Path
) -> None:
    story = Story(build_app(), run, tmp_path)
    lose_tables(tables, tenant_id)
    story.file.write_bytes(story.file.read_bytes()[:-20])

    with pytest.raises(BackupUnusable, match="cut off after line"):
        run("restore", str(story.file))

    assert list(tables.query(tenant_id, "", None)) == []


def test_a_file_says_what_it_is(build_app: BuildApp, run: Run, tmp_path: Path) -> None:
    build_app()
    app: Any = shared.services.services()
    TestCa.on(app.ledger, app.signing_backend).initialize()

    told = run("backup", str(tmp_path / "backup.gz")).stdout

    for name in ("tenant id", "last log row", "records", "sha256", "bytes"):
        assert name in told
