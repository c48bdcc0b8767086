"""What clients do over HTTP: the programs of docs/clients as they stand, renewals, and what is about to end."""

import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local.processes import REPOSITORY
from local.stack import ABILITY, Stack

PAGES = REPOSITORY / "docs" / "clients"


@pytest.fixture(scope="module")
def environment(stack: Stack) -> dict[str, str]:
    """What the pages ask their reader to set: a calling app with the role, and a user named Ada."""
    caller = stack.entra.new_app(roles={stack.entra.client_id: [ABILITY]})
    ada = "ada@contoso.example"
    stack.entra.add_user(ada, displayName="Ada Lovelace", mail=ada, proxyAddresses=[f"SMTP:{ada}"])
    return stack.environment | {
        "AUTHORITY": stack.settings["ENTRA_AUTHORITY_HOST"],
        "TENANT": stack.entra.id,
        "API_ID": stack.entra.client_id,
        "CLIENT_ID": caller.client_id,
        "CLIENT_SECRET": caller.client_secret,
        "URL": stack.url,
        "CURL_CA_BUNDLE": stack.settings["REQUESTS_CA_BUNDLE"],
    }


def program(language: str, *pages: str) -> str:
    """The blocks in this language, one after the other."""
    texts = ((PAGES / page).read_text(encoding="utf-8") for page in pages)
    return "".join("".join(re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)) for text in texts)


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("jq") is None, reason="the pages for a shell use jq")
def test_the_shell_pages_run(environment: dict[str, str], tmp_path: Path) -> None:
    script = program("bash", "curl.md", "smime.md")

    printed = run(["bash", "-euo", "pipefail", "-c", script], tmp_path, environment).splitlines()

    assert "ada.pem: OK" in printed
    assert any(line.endswith(" Ada Lovelace ada@contoso.example") for line in printed)
    assert printed[-4:-1] == ["revoked", "curl ended with 22", "certificate_not_renewable"]
    assert printed[-1] == "ada@contoso.example"
    assert (tmp_path / "opened.txt").read_text().splitlines() == ["The order of the day."]


def test_the_python_page_runs(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(program("python", "python.md"))

    first, *renewals, verdict = run([sys.executable, "client.py"], tmp_path, environment).splitlines()

    assert first.endswith("X509:<PN>ada@contoso.example")
    assert renewals
    assert all(re.fullmatch(r"\d+ is renewed by \d+", line) for line in renewals)
    assert verdict == f"{environment['CLIENT_ID']} ['{ABILITY}']"


# --- Renewals and what is about to end ---


@pytest.fixture
def certificate(stack: Stack) -> dict[str, Any]:
    """A certificate of twenty days of a user of its own."""
    upn = f"r{uuid.uuid4().hex[:10]}@contoso.example"
    stack.entra.add_user(upn, displayName="Some Renewer", mail=upn)
    user = stack.api.post("sync-user", json={"user_principal_name": upn}).json()["user"]
    order = {"user_id": user["id"], "validity_days": 20, "csr": new_csr()}
    issued: dict[str, Any] = stack.api.post("provision-certificate", json=order).json()["certificate"]
    return issued


def new_csr() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def test_a_renewal_without_a_body_makes_a_key_and_keeps_type_and_length(
    stack: Stack, certificate: dict[str, Any]
) -> None:
    reply = stack.api.post(f"certificates/{certificate['id']}/renew")

    body = reply.json()
    assert (reply.status_code, reply.headers["Cache-Control"]) == (201, "no-store")
    new = body["certificate"]
    assert (new["renews"], new["certificate_type"], new["key_size"]) == (certificate["id"], "client_auth", 2048)
    assert body["private_key_available"] is True
    leaf = x509.load_pem_x509_certificate(new["pem"].encode())
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == 19
    old = stack.api.get(f"certificates/{certificate['id']}").json()["certificate"]
    assert (old["status"], old["renewed_by"]) == ("active", new["id"])


def test_an_idempotency_key_gives_the_same_successor(stack: Stack, certificate: dict[str, Any]) -> None:
    csr, headers = new_csr(), {"Idempotency-Key": uuid.uuid4().hex}
    path = f"certificates/{certificate['id']}/renew"

    first = stack.api.post(path, json={"csr": csr}, headers=headers)
    again = stack.api.post(path, json={"csr": csr}, headers=headers)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["certificate"] == again.json()["certificate"]


def test_a_second_renewal_and_one_of_a_revoked_certificate_are_refused(
    stack: Stack, certificate: dict[str, Any]
) -> None:
    path = f"certificates/{certificate['id']}"
    new = stack.api.post(f"{path}/renew", json={"csr": new_csr()}).json()["certificate"]["id"]

    again = stack.api.post(f"{path}/renew", json={"csr": new_csr()})
    assert (again.status_code, again.json()["code"]) == (409, "certificate_already_renewed")
    assert again.json()["renewed_by"] == new

    stack.api.post(f"certificates/{new}/revoke", json={})
    revoked = stack.api.post(f"certificates/{new}/renew", json={"csr": new_csr()})
    assert (revoked.status_code, revoked.json()["code"]) == (409, "certificate_not_renewable")
    assert stack.api.post("certificates/987654321/renew").status_code == 404
    assert stack.api.post(f"{path}/renew", json={"user_id": 1}).status_code == 422


def test_what_ends_soon_is_listed_with_its_user_and_notice_until_it_is_renewed(
    stack: Stack, certificate: dict[str, Any]
) -> None:
    path = f"expiring-certificates?user={certificate['user_id']}"
    stack.fire_timer("send_expiry_notices")

    listed = stack.api.get(path).json()
    assert [each["id"] for each in listed["data"]] == [certificate["id"]]
    (found,) = listed["data"]
    assert (found["days_left"], found["user"]["name"]) == (19, "Some Renewer")
    assert found["notice"] is None  # of 30, 14 and 7 days none has come for a certificate of 20
    assert stack.api.get(f"{path}&within_days=19").json()["total"] == 0
    assert stack.api.get(f"{path}&type=code_signing").json()["total"] == 0
    assert stack.api.get("expiring-certificates?within_days=0").status_code == 422

    stack.api.post(f"certificates/{certificate['id']}/renew", json={"csr": new_csr(), "validity_days": 300})
    assert stack.api.get(path).json()["total"] == 0
