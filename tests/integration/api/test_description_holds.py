"""Schemathesis tries to find a request whose reply is not as the API's description says.

For some seconds here, with fixed seeds. `SCHEMATHESIS_SECONDS=300` before the command makes it try as long as that,
with new seeds.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from local.stack import ABILITY, Stack, clean_environment
from tests.integration.test_microsoft_runtime import ocsp_facts
from tests.support.described import described

HERE = Path(__file__).parent
CONFIG = HERE / "schemathesis.toml"
SECONDS = int(os.environ.get("SCHEMATHESIS_SECONDS", "0"))
TIMEOUT = 240 + 2 * SECONDS

pytestmark = pytest.mark.timeout(TIMEOUT + 60)


@dataclass(frozen=True)
class Scene:
    """A stack with users, certificates and a CRL, and Schemathesis's configuration for it."""

    stack: Stack
    config: Path

    def run(self, *arguments: str, token: str) -> str:
        """Everything that Schemathesis printed. Fails the test unless it found nothing."""
        program = str(Path(sys.executable).with_name("schemathesis"))
        target = ("openapi.json", "--url", self.stack.url)  # a file: the operation that gives it would be left out
        done = subprocess.run(
            [program, "--config-file", str(self.config), "run", *target, "--checks", "all", *arguments],
            cwd=self.config.parent,
            env=clean_environment(self.config.parent) | {"API_TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
        print(done.stdout)  # for `pytest -s`: what was tried, and how often
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def scene(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    for name in ("Ada Lovelace", "Grace Hopper"):
        upn = f"{name.partition(' ')[0].lower()}@contoso.example"
        person = stack.entra.add_user(upn, displayName=name, mail=upn)
        user = stack.api.post("sync-user", json={"user_principal_name": upn}).json()["user"]
        issued = stack.api.post("provision-certificate", json={"user_id": user["id"]}).json()
    certificate = issued["certificate"]
    known = {
        "issuers": certificate["issuer_id"],
        "requests": base64.b64encode(ocsp_facts(certificate)["ocsp_request"]).decode(),
        "audiences": stack.entra.client_id,
        "tokens": stack.entra.mint_token(user=person, roles=[ABILITY]),
    }
    folder = tmp_path_factory.mktemp("schemathesis")
    (folder / "openapi.json").write_bytes(requests.get(f"{stack.url}/api/openapi.json", timeout=60).content)
    config = folder / CONFIG.name
    config.write_text(_with_hooks(CONFIG.read_text(encoding="utf-8"), known), encoding="utf-8")
    yield Scene(stack, config)


def _with_hooks(config: str, known: Mapping[str, str]) -> str:
    dictionaries = [f'[dictionaries.{name}]\nvalues = ["{value}"]\n' for name, value in known.items()]
    return "\n".join([f'hooks = "{HERE / "schemathesis_hooks.py"}"', config, *dictionaries])


def test_no_reply_is_other_than_described(scene: Scene) -> None:
    effort = ("--max-time", str(SECONDS), "-n", "100") if SECONDS else ("--seed", "1", "-n", "3")
    found = scene.run(*effort, token=scene.stack.token)

    operations = sum(len(methods) for methods in described()["paths"].values())
    assert f"Selected: {operations}/{operations}\n  Tested: {operations}\n" in found, found


def test_nor_is_one_to_a_caller_without_usable_credentials(scene: Scene) -> None:
    effort = ("--max-time", str(SECONDS), "-n", "100") if SECONDS else ("--seed", "1", "-n", "2")
    scene.run("--phases", "fuzzing", *effort, token="1|epki_wrong")
