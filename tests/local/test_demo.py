"""What a newcomer types first: `make demo` and `make run`."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.processes import REPOSITORY, ChildProcess
from local.stack import clean_environment

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@needs_openssl
def test_the_demo_does_every_step_and_leaves_what_it_issued(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local.demo", "--state", f"{tmp_path}/state", "--output", f"{tmp_path}/output"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 steps, all as they should be" in done.stdout
    issued = {path.name for path in (tmp_path / "output").iterdir()}
    assert {"chain.pem", "client_auth.pem", "client_auth.key.pem", "email_protection.p12"} <= issued
    assert (tmp_path / "output" / "client_auth.key.pem").stat().st_mode & 0o077 == 0


def test_a_step_that_fails_makes_the_demo_fail(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local.demo", "--state", f"{tmp_path}/state", "--output", f"{tmp_path}/output"]
    environment = clean_environment(tmp_path) | {"PATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)

    assert done.returncode == 1
    assert "openssl is not installed" in done.stdout


@needs_curl
def test_the_lines_that_make_run_prints_work_as_they_stand(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local.run", "--free-ports", "--state", f"{tmp_path}/state"]
    shown: list[str] = []

    def complete(line: str) -> bool | None:
        shown.append(line)
        return True if line.startswith("Ctrl-C") else None

    with ChildProcess("make run", command) as run:
        run.wait_for(complete)
        lines = [line for line in shown if re.match("(curl|REQUESTS_CA_BUNDLE=)", line)]
        failed = [line for line in [*lines, _from_readme(shown)] if _shell(line, tmp_path) != 0]
        code = run.stop()

    assert len(lines) == 8, shown
    assert failed == []
    assert code == 128 + signal.SIGTERM


def _from_readme(shown: list[str]) -> str:
    """The README's call, behind the lines that set its variables; it must issue a certificate."""
    call = re.search(r"```\n(curl [^`]*)```", (REPOSITORY / "README.md").read_text())
    assert call is not None
    exports = [line.strip() for line in shown if line.startswith("export ")]
    return "; ".join([*exports, f"{call[1].strip()} | grep -q 'BEGIN CERTIFICATE'"])


def _shell(line: str, folder: Path) -> int:
    return subprocess.run(
        line, shell=True, env=clean_environment(folder), stdout=subprocess.DEVNULL, timeout=60
    ).returncode
