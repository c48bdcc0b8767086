"""`manage.py ca` and `manage.py certs`, as an operator uses them."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from local.processes import REPOSITORY
from shared.cli.main import main
from shared.directory.records.certificate import CertificateType
from shared.errors import AppError
from shared.pki.errors import CeremonyRefused
from shared.services import Services
from tests.integration.pki.test_ceremony import OfflineRoot, pem
from tests.support.command_line import Run, as_json
from tests.support.pki import TestCa, context, order


def test_init_and_show_tell_what_to_enter_in_entra(app: Services, run: Run) -> None:
    made = run("ca", "init", "--name", "Contoso Users CA", "--organization", "Contoso Ltd", "--key-type", "p-256")
    (shown,) = as_json(run("ca", "show", "--json"))

    active = app.authority.active()
    assert shown["id"] == active.id
    assert shown["status"] == "active"
    assert shown["crl_url"] == f"http://pki.contoso.example/api/v1/pki/{active.id}/crl"
    assert shown["subject_key_identifier"] == active.key_identifier.digest.hex().upper()
    assert shown["longest_validity_days"] == 7304
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown["not_after"])
    flat = "".join(made.stdout.split())
    for told in (shown["thumbprint_sha1"], shown["crl_url"], shown["subject_key_identifier"], active.id):
        assert told in flat
    printed = run("ca", "show", "--pem").stdout
    assert x509.load_pem_x509_certificate(printed.encode()) == active.certificate


def test_show_says_what_to_do_without_an_issuer(app: Services, run: Run) -> None:
    assert "ca init" in run("ca", "show").stderr
    assert as_json(run("ca", "show", "--json")) == []


def test_a_second_init_is_refused_with_a_sentence(app: Services, run: Run) -> None:
    run("ca", "init", "--name", "Contoso Users CA", "--key-type", "P-256")

    with pytest.raises(CeremonyRefused, match="rollover"):
        run("ca", "init", "--name", "Another", "--key-type", "P-256")


@pytest.mark.parametrize("step", ["init", "rollover"])
def test_a_request_that_could_not_be_written_is_not_made(app: Services, run: Run, tmp_path: Path, step: str) -> None:
    with pytest.raises(FileNotFoundError):
        run("ca", step, "--name", "Contoso Users CA", "--csr", str(tmp_path / "missing" / "issuer.csr"))

    assert as_json(run("ca", "show", "--json")) == []


def test_what_the_system_refuses_is_a_sentence(
    app: Services, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "missing" / "issuer.csr")
    monkeypatch.chdir(tmp_path)  # where there is no local.settings.json
    monkeypatch.setattr(sys, "argv", ["manage.py", "ca", "init", "--name", "Contoso Users CA", "--csr", file])

    with pytest.raises(SystemExit, match="1"):
        main()

    assert capsys.readouterr().err == f"Error: {file}: No such file or directory.\n"


@pytest.mark.parametrize("content", ['{"Values": ["A"]}', '{"Values": null}', "{}", "[]", "{"])
def test_a_settings_file_without_values_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(content)
    monkeypatch.setattr(sys, "argv", ["manage.py", "--settings", str(file), "ca", "show"])

    with pytest.raises(SystemExit, match="1"):
        main()

    assert "it needs an object `Values`" in capsys.readouterr().err


def test_without_the_packages_it_says_what_to_install() -> None:
    without_site_packages = [sys.executable, "-S", str(REPOSITORY / "manage.py"), "ca", "show"]
    ended = subprocess.run(without_site_packages, capture_output=True, text=True, check=False, timeout=60)

    assert ended.returncode == 1
    assert "requirements-cli.txt" in ended.stderr and "Traceback" not in ended.stderr


def test_rollover_goes_in_two_steps(app: Services, run: Run) -> None:
    run("ca", "init", "--name", "Contoso Users CA", "--key-type", "P-256")
    old = app.authority.active().id

    (new,) = as_json(run("ca", "rollover", "--name", "Contoso Users CA G2", "--key-type", "P-256", "--json"))
    assert (new["status"], app.authority.active().id) == ("published", old)
    run("ca", "activate", new["id"])

    assert app.authority.active().id == new["id"]
    shown = as_json(run("ca", "show", "--json"))
    assert [(one["id"], one["status"]) for one in shown] == [(old, "retired"), (new["id"], "active")]


@pytest.fixture
def crl_server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """(base URL, what it serves by path): a plain web server of the offline root."""
    served: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = served.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", served
    server.shutdown()
    server.server_close()


def test_an_offline_root_signs_our_request_and_its_crl_must_be_there(
    app: Services, run: Run, tmp_path: Path, crl_server: tuple[str, dict[str, bytes]]
) -> None:
    url, served = crl_server
    root = OfflineRoot()
    request_file, answer_file = tmp_path / "issuer.csr", tmp_path / "issuer.crt"
    run("ca", "init", "--name", "Contoso Users CA", "--key-type", "P-256", "--csr", str(request_file))
    request = x509.load_pem_x509_csr(request_file.read_bytes())
    answer_file.write_bytes(pem(root.sign(request, crl_url=f"{url}/root.crl"), root.certificate))

    with pytest.raises(CeremonyRefused, match="cannot be fetched"):
        run("ca", "import", str(answer_file))
    served["/root.crl"] = root.crl()
    (imported,) = as_json(run("ca", "import", str(answer_file), "--json"))

    assert imported["status"] == "active"
    assert imported["signed_by"] == "CN=Contoso Offline Root"


def test_a_crl_that_cannot_be_fetched_from_here_can_be_skipped(app: Services, run: Run, tmp_path: Path) -> None:
    root = OfflineRoot()
    request_file, answer_file = tmp_path / "issuer.csr", tmp_path / "issuer.crt"
    run("ca", "init", "--name", "Contoso Users CA", "--key-type", "P-256", "--csr", str(request_file))
    request = x509.load_pem_x509_csr(request_file.read_bytes())
    answer_file.write_bytes(pem(root.sign(request, crl_url="http://127.0.0.1:9/root.crl"), root.certificate))

    run("ca", "import", str(answer_file), "--skip-crl-check")

    assert app.authority.active().parents == (root.certificate,)


class TestCerts:
    @pytest.fixture
    def ca(self, app: Services, run: Run) -> TestCa:
        run("ca", "init", "--name", "Contoso Users CA", "--key-type", "P-256")
        return TestCa(app.ledger, app.signing_backend, app.authority, app.issuance, app.issuance_policy)

    def test_list_filters_and_counts(self, ca: TestCa, run: Run) -> None:
        ada, eve = ca.add_user(name="Ada [/red] Lovelace"), ca.add_user()
        for user, days in ((ada, 20), (ada, 365), (eve, 365)):
            ca.issuance.issue(order(user, validity_days=days), context())

        assert [one["id"] for one in as_json(run("certs", "list", "--json"))] == [1, 2, 3]
        assert [one["id"] for one in as_json(run("certs", "list", "--user", str(ada.id), "--json"))] == [1, 2]
        assert [one["id"] for one in as_json(run("certs", "list", "--expiring-within", "30", "--json"))] == [1]
        assert as_json(run("certs", "list", "--status", "revoked", "--json")) == []
        assert as_json(run("certs", "list", "--type", "code_signing", "--json")) == []
        page = run("certs", "list", "--per-page", "2", "--page", "2")
        assert "1 of 3" in page.stderr
        assert "[/red]" in run("certs", "list").stdout.replace("\n", "")

    def test_show_tells_the_record_and_what_to_enter_in_entra(self, ca: TestCa, run: Run) -> None:
        issued = ca.issuance.issue(order(ca.add_user()), context())

        shown = as_json(run("certs", "show", "1", "--json"))

        assert shown["serial_number"] == issued.certificate.serial_number
        assert shown["entra_certificate_user_ids"] == dict(issued.user_ids)
        assert shown["not_after"].endswith("Z")
        assert shown["status"] == as_json(run("certs", "list", "--json"))[0]["status"] == "active"
        assert "issued" not in run("certs", "show", "1").stdout.replace("issued at", "").split()
        assert "der" not in shown
        assert issued.certificate.serial_number in "".join(run("certs", "show", "1").stdout.split())

    def test_export_writes_what_openssl_reads(self, ca: TestCa, run: Run, tmp_path: Path) -> None:
        issued = ca.issuance.issue(order(ca.add_user()), context())
        out = tmp_path / "out"

        assert run("certs", "export", "1").stdout == issued.pem
        run("certs", "export", "1", "--chain", "--out", str(out))
        assert out.read_text() == issued.pem + issued.chain_pem
        run("certs", "export", "1", "--der", "--out", str(out))
        assert out.read_bytes() == issued.certificate.der
        run("certs", "export", "1", "--der", "--chain", code=2)

    @pytest.mark.parametrize("command", ["revoke", "hold"])
    def test_a_comment_has_at_most_500_characters(self, ca: TestCa, run: Run, command: str) -> None:
        ca.issuance.issue(order(ca.add_user()), context())

        refused = run("certs", command, "1", "--comment", "x" * 501, code=1)
        assert "The comment field must not be greater than 500 characters." in refused.stderr
        assert as_json(run("certs", "list", "--json"))[0]["status"] == "active"
        run("certs", command, "1", "--comment", "x" * 500)

    def test_what_is_no_id_is_told_in_a_sentence(self, run: Run) -> None:
        for wrong in ("abc", "0", "1.5"):
            assert f"'{wrong}' is not a certificate's id" in run("certs", "show", wrong, code=2).stderr

    def test_lint_asks_an_independent_checker(self, ca: TestCa, run: Run) -> None:
        for certificate_type in (CertificateType.CLIENT_AUTH, CertificateType.EMAIL_PROTECTION):
            ca.issuance.issue(order(ca.add_user(), certificate_type=certificate_type), context())

        assert "nothing" in run("certs", "lint", "1").stdout
        found = as_json(run("certs", "lint", "2", "--json", code=1))
        assert "cabf.smime.certificate_policies_extension_missing" in {finding["code"] for finding in found}

    def test_a_certificate_that_is_not_there_is_told(self, ca: TestCa, run: Run) -> None:
        for arguments in (("show", "7"), ("export", "7"), ("lint", "7")):
            with pytest.raises(AppError) as caught:
                run("certs", *arguments)
            assert caught.value.code == "certificate_not_found"
