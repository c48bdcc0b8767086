"""`manage.py certs issue|renew|revoke` from files: many at a time, interrupted, resumed, refused line by line."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from local.processes import REPOSITORY
from shared.directory.ledger import Ledger
from shared.directory.records.certificate import Certificate, CertificateStatus, RevocationReason
from shared.pki.issuance.cycle import Issuance
from shared.pki.keys import KeyType, generate_key
from shared.services import Services
from tests.support.command_line import Run, as_json
from tests.support.pki import TestCa, make_csr

PEOPLE = 12
"""More than are under way at a time."""


@pytest.fixture
def ca(app: Services) -> TestCa:
    """The CA that the commands work on."""
    ca = TestCa.on(app.ledger, app.signing_backend, policy=app.issuance_policy).initialize()
    for number in range(1, 6):
        ca.add_user(user_principal_name=f"user{number}@contoso.example", mail=f"user{number}@contoso.example")
    return ca


def csv(folder: Path, *lines: str) -> Path:
    file = folder / "users.csv"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def recorded(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()[1:]]


def test_each_line_gets_its_certificate_with_a_key_that_only_its_owner_can_read(
    ca: TestCa, run: Run, tmp_path: Path
) -> None:
    own = generate_key(KeyType.P_384)
    (tmp_path / "own.csr").write_text(make_csr(own))
    file = csv(
        tmp_path,
        "user_principal_name,user_id,certificate_type,validity_days,key_type,csr",
        "USER1@contoso.example,,,,,",
        ",2,email_protection,90,P-521,",
        ",3,,,,own.csr",
    )

    summary = as_json(
        run("certs", "issue", "--file", str(file), "--out", str(tmp_path / "out"), "--key", "P-256", "--json")
    )

    assert (summary["done"], summary["refused"]) == (3, [])
    first, second, third = sorted(ca.certificates(), key=lambda each: each.user_id or 0)
    assert (first.key_type, second.key_type, third.key_type) == ("P-256", "P-521", "P-384")
    assert (second.certificate_type, (second.not_after - second.not_before).days) == ("email_protection", 89)
    assert names(tmp_path / "out") == [
        "00002-USER1@contoso.example.crt.pem",
        "00002-USER1@contoso.example.key.pem",
        "00003-user-2.crt.pem",
        "00003-user-2.key.pem",
        "00004-user-3.crt.pem",
    ]
    for path in (tmp_path / "out").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    key = serialization.load_pem_private_key((tmp_path / "out/00003-user-2.key.pem").read_bytes(), None)
    leaf, issuer = x509.load_pem_x509_certificates((tmp_path / "out/00003-user-2.crt.pem").read_bytes())
    leaf.verify_directly_issued_by(issuer)
    assert key.public_key() == leaf.public_key()


def test_a_pkcs12_takes_the_place_of_the_key_file(ca: TestCa, run: Run, tmp_path: Path) -> None:
    file, out = csv(tmp_path, "user_id", "1"), tmp_path / "out"

    run("certs", "issue", "--file", str(file), "--out", str(out), "--key", "P-256", "--pkcs12")

    password = (out / "00002-user-1.p12.password").read_bytes()
    key, leaf, chain = pkcs12.load_key_and_certificates((out / "00002-user-1.p12").read_bytes(), password)
    assert key is not None
    assert leaf is not None
    assert key.public_key() == leaf.public_key()
    assert len(chain) == 1
    assert not (out / "00002-user-1.key.pem").exists()


def test_refused_lines_are_told_and_tried_again_and_done_ones_are_not(ca: TestCa, run: Run, tmp_path: Path) -> None:
    file = csv(tmp_path, "user_id,validity_days", "1,", "99,", "2,many", "3,")
    arguments = ["certs", "issue", "--file", str(file), "--out", str(tmp_path / "out"), "--key", "P-256"]

    failed = run(*arguments, code=1)
    assert "Line 3: There is no user 99." in failed.stderr
    assert "Line 4: validity_days must be a whole number." in failed.stderr
    assert sorted(each.user_id or 0 for each in ca.certificates()) == [1, 3]

    csv(tmp_path, "user_id,validity_days", "1,", "5,", "2,20", "3,")
    again = as_json(run(*arguments, "--json"))

    assert (again["done"], again["skipped"]) == (2, 2)
    assert sorted(each.user_id or 0 for each in ca.certificates()) == [1, 2, 3, 5]
    statuses = [(each["line"], each["status"]) for each in recorded(tmp_path / "users.csv.results.jsonl")]
    assert sorted(statuses) == [(2, "done"), (3, "done"), (3, "refused"), (4, "done"), (4, "refused"), (5, "done")]


def test_another_run_does_not_overwrite_keys(ca: TestCa, run: Run, tmp_path: Path) -> None:
    file, out = csv(tmp_path, "user_id", "1"), tmp_path / "out"
    arguments = ["certs", "issue", "--file", str(file), "--out", str(out), "--key", "P-256", "--json"]
    run(*arguments)
    key = (out / "00002-user-1.key.pem").read_bytes()

    refused = as_json(run(*arguments, "--results", str(tmp_path / "of_another_run"), code=1))["refused"]

    assert "name another folder" in refused[0]["error"]
    assert (out / "00002-user-1.key.pem").read_bytes() == key
    assert len(ca.certificates()) == 1


def test_a_dry_run_finds_what_would_be_refused_and_leaves_nothing_behind(ca: TestCa, run: Run, tmp_path: Path) -> None:
    file = csv(tmp_path, "user_id,validity_days,csr", "1,,", "2,3650,", "3,,missing.csr", "4,,")
    ca.change_user(ca.add_user(), is_active=False)
    head = ca.ledger.head().seq

    failed = run("certs", "issue", "--file", str(file), "--dry-run", "--days", "3650", "--json", code=1)

    assert [refused["line"] for refused in as_json(failed)["refused"]] == [4]
    assert ca.ledger.head().seq == head
    assert names(tmp_path) == ["ca", "users.csv"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["name", "Ada"], "unknown: name"),
        (["user_id,user_principal_name", "1,ada@contoso.example"], "exactly one of"),
        (["user_id", "1,2"], "another number of columns"),
        (["user_id", '"1'], "not a CSV file"),
        ([""], "must name columns"),
    ],
)
def test_a_malformed_file_is_refused_as_a_whole(
    ca: TestCa, run: Run, tmp_path: Path, lines: list[str], told: str
) -> None:
    file = csv(tmp_path, *lines)

    failed = run("certs", "issue", "--file", str(file), "--out", str(tmp_path / "out"), code=1)

    assert told in " ".join(failed.stderr.split())
    assert ca.certificates() == []


def test_a_run_that_was_killed_is_gone_on_with_and_issues_nothing_twice(
    ca: TestCa, app: Services, run: Run, tmp_path: Path
) -> None:
    for _ in range(PEOPLE - 5):
        ca.add_user()
    everybody = range(1, PEOPLE + 1)
    file, out = csv(tmp_path, "user_id", *map(str, everybody)), tmp_path / "out"
    results = tmp_path / "users.csv.results.jsonl"
    command = [sys.executable, "manage.py", "certs", "issue", "--file", str(file), "--out", str(out), "--key", "P-256"]
    environment = {**os.environ, **app.settings.environment}
    running = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL)
    while running.poll() is None and (not results.exists() or results.read_bytes().count(b"\n") < 3):
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -9
    with results.open("a") as file_end:
        file_end.write('{"line": 3, "sha')  # as if killed while writing

    later = lambda: datetime.now(UTC) + timedelta(minutes=2)  # noqa: E731  (the lease of what was killed is over)
    app.__dict__["ledger"] = Ledger(app.tables, app.settings.entra.tenant_id, clock=later)
    app.__dict__["issuance"] = Issuance(app.ledger, app.authority, app.issuance_policy, clock=later)
    summary = as_json(run(*command[2:], "--json"))

    assert summary["done"] + summary["skipped"] == PEOPLE
    assert summary["skipped"] >= 2
    records = [each for each in ca.certificates() if each.status is not CertificateStatus.REVOKED]
    assert sorted(each.user_id or 0 for each in records) == list(everybody)
    for number in everybody:
        name = f"{number + 1:05d}-user-{number}"
        key = serialization.load_pem_private_key((out / f"{name}.key.pem").read_bytes(), None)
        leaf = x509.load_pem_x509_certificate((out / f"{name}.crt.pem").read_bytes())
        assert key.public_key() == leaf.public_key()


def test_certificates_are_renewed_by_id_by_file_and_by_their_end(ca: TestCa, run: Run, tmp_path: Path) -> None:
    file, out = csv(tmp_path, "user_id,validity_days", "1,300", "2,300", "3,20", "4,10"), str(tmp_path / "out")
    run("certs", "issue", "--file", str(file), "--out", out, "--key", "P-256")
    by_user = {each.user_id: each.id for each in ca.certificates()}
    ids = csv(tmp_path, "certificate_id", str(by_user[2]))

    run("certs", "renew", str(by_user[1]), "--out", out)
    run("certs", "renew", "--file", str(ids), "--out", out, "--results", str(tmp_path / "renewed.jsonl"))
    checked = as_json(run("certs", "renew", "--expiring-within", "30", "--dry-run", "--json"))
    assert checked["done"] == 2
    run("certs", "renew", "--expiring-within", "30", "--out", out, "--days", "100", "--key", "P-384")

    renewed = {each.renews: each for each in ca.certificates() if each.renews}
    assert set(renewed) == set(by_user.values())
    assert renewed[by_user[1]].key_type == "P-256"
    assert renewed[by_user[4]].key_type == "P-384"
    assert as_json(run("certs", "expiring", "--json")) == []
    leaf = x509.load_pem_x509_certificate((tmp_path / f"out/renews-{by_user[4]}.crt.pem").read_bytes())
    key = serialization.load_pem_private_key((tmp_path / f"out/renews-{by_user[4]}.key.pem").read_bytes(), None)
    assert leaf.public_key() == key.public_key()
    refused = run("certs", "renew", str(by_user[1]), "--out", str(tmp_path / "other"), code=1)
    assert f"Certificate {by_user[1]}: Certificate {by_user[1]} was renewed by" in refused.stderr


def test_a_holder_s_own_key_is_renewed_by_its_csr(ca: TestCa, run: Run, tmp_path: Path) -> None:
    file, out = csv(tmp_path, "user_id", "1"), str(tmp_path / "out")
    run("certs", "issue", "--file", str(file), "--out", out, "--key", "P-256")
    (tmp_path / "own.csr").write_text(make_csr(generate_key(KeyType.RSA_2048)))

    run("certs", "renew", "1", "2", "--csr", str(tmp_path / "own.csr"), "--out", out, code=2)
    run("certs", "renew", "1", "--csr", str(tmp_path / "own.csr"), "--out", out)

    assert [each.key_type for each in ca.certificates()] == ["P-256", "RSA-2048"]


def test_what_ends_soon_is_listed_for_people_too(ca: TestCa, run: Run, tmp_path: Path) -> None:
    file = csv(tmp_path, "user_id,validity_days", "1,20")
    run("certs", "issue", "--file", str(file), "--out", str(tmp_path / "out"), "--key", "P-256")

    shown = run("certs", "expiring").stdout

    assert "client_auth" in shown
    assert "user1@contoso" in shown
    assert as_json(run("certs", "expiring", "--within", "19", "--json")) == []
    assert as_json(run("certs", "retry-notices", "--json")) == {"revived": 0}


def test_certificates_are_revoked_from_a_file(ca: TestCa, run: Run, tmp_path: Path) -> None:
    file = csv(tmp_path, "user_id", "1", "2", "3")
    run("certs", "issue", "--file", str(file), "--out", str(tmp_path / "out"), "--key", "P-256")
    serial = ca.certificate(2).serial_number.upper()
    colons = ":".join(serial[at : at + 2] for at in range(0, len(serial), 2))
    lines = csv(
        tmp_path, "certificate_id,serial_number,reason,comment", "1,,keyCompromise,lost", f",{colons},,", "77,,,"
    )
    arguments = ["certs", "revoke", "--file", str(lines), "--reason", "superseded", "--results", str(tmp_path / "r")]

    checked = as_json(run(*arguments, "--dry-run", "--json", code=1))
    assert (checked["done"], checked["refused"][0]["code"]) == (2, "certificate_not_found")
    assert [each.status for each in ca.certificates()] == [CertificateStatus.ISSUED] * 3
    run(*arguments, code=1)
    assert as_json(run(*arguments, "--json", code=1))["skipped"] == 2

    first, second, third = ca.certificates()
    assert (first.revocation_reason, first.revocation_comment) == (RevocationReason.KEY_COMPROMISE, "lost")
    assert (second.revocation_reason, third.revocation_reason) == (RevocationReason.SUPERSEDED, None)
    run("certs", "revoke", "1", "--file", str(lines), code=2)


def test_the_settings_keep_code_signing_keys_out_of_files(
    ca: TestCa, run: Run, app: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    strict = replace(app.issuance_policy, code_signing_requires_csr=True)
    app.__dict__["issuance_policy"] = strict
    file = csv(tmp_path, "user_id,certificate_type", "1,code_signing")

    for further in (["--dry-run"], ["--out", str(tmp_path / "out")]):
        app.__dict__.pop("issuance", None)
        refused = as_json(run("certs", "issue", "--file", str(file), "--json", *further, code=1))["refused"]
        assert "must be made and kept in hardware" in refused[0]["error"]
    assert list(ca.ledger.scan(Certificate)) == []
