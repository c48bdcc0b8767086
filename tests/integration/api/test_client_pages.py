"""The pages for clients are programs: what docs/clients shows for a shell and for Python runs as it stands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert "1 Ada Lovelace ada@contoso.example" in printed
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
