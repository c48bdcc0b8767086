"""What holds the laptop's stack together: child processes, settings, ports."""

import signal
import socket
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from local.functions_host.app_settings import LocalSettings, route_prefix
from local.processes import REPOSITORY, ChildFailed, ChildProcess
from local.run import Plan
from local.stack import StackFailed, clean_environment, empty_folder, write_settings_file
from shared.api.routes import ROUTE_PREFIX
from shared.settings import Settings

SAMPLE = REPOSITORY / "local.settings.sample.json"


def python(program: str, **options: object) -> ChildProcess:
    return ChildProcess("the child", [sys.executable, "-c", program], **options)  # type: ignore[arg-type]


def test_a_child_is_waited_for_until_it_says_what_is_expected(tmp_path: Path) -> None:
    with python("print('one'); print(input(), flush=True); input()", log=tmp_path / "log") as child:
        child.send("two 2")
        found = child.wait_for(lambda line: int(line.split()[1]) if line.startswith("two") else None)

    assert found == 2
    assert (tmp_path / "log").read_text() == "one\ntwo 2\n"


def test_a_child_that_ends_too_early_is_reported_with_its_output() -> None:
    with (
        python("raise SystemExit('the reason')") as child,
        pytest.raises(ChildFailed, match=r"status 1 [\s\S]*the reason"),
    ):
        child.wait_for(lambda line: None)


def test_a_child_that_stays_silent_is_not_waited_for_for_ever() -> None:
    with python("input()") as child, pytest.raises(ChildFailed, match=r"not ready within 0:00:00\.2"):
        child.wait_for(lambda line: True, timedelta(seconds=0.2))

    assert child.exit_code == -signal.SIGTERM


def test_a_child_that_ignores_sigterm_is_killed() -> None:
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); input()"
    child = python(program)
    child.wait_for(lambda line: True)

    assert child.stop(grace=timedelta(seconds=0.2)) == -signal.SIGKILL


def test_what_a_developers_shell_holds_does_not_reach_the_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (
        "ENTRA_MANAGED_IDENTITY",
        "CA_KEY_VAULT_URL",
        "AZURE_CLIENT_ID",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
    ):
        monkeypatch.setenv(name, "from the shell")
    monkeypatch.setenv("EDITOR", "vi")
    monkeypatch.setenv("NO_PROXY", "intranet.example")

    environment = clean_environment(tmp_path)

    assert "from the shell" not in environment.values()
    assert environment["EDITOR"] == "vi"
    assert environment["NO_PROXY"] == "intranet.example,127.0.0.1,localhost"
    assert environment["TMPDIR"] == str(tmp_path / "tmp")


def test_settings_with_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "local.settings.json"
    write_settings_file(path, {"ENTRA_CLIENT_SECRET": "secret"})

    assert path.stat().st_mode & 0o077 == 0
    assert LocalSettings.read(path).values == {"ENTRA_CLIENT_SECRET": "secret"}


def test_two_stacks_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "left over").touch()

    with empty_folder(folder) as own:
        assert list(own.iterdir()) == []
        (own / "mine").touch()
        with pytest.raises(StackFailed, match="Another stack is running"), empty_folder(folder):
            pass

    assert (folder / "mine").exists()


def sample_values() -> Mapping[str, str]:
    return LocalSettings.read(SAMPLE).values


def test_the_sample_settings_are_complete_and_right() -> None:
    settings = Settings.read(sample_values())

    assert settings.development
    assert settings.entra.graph_base_url == f"{settings.entra.authority_host}/v1.0"


def test_make_run_listens_where_the_sample_settings_point() -> None:
    plan, values = Plan.read(), sample_values()

    assert values["ENTRA_AUTHORITY_HOST"] == f"https://127.0.0.1:{plan.entra_port}"
    assert values["PKI_PUBLIC_URL"] == f"http://127.0.0.1:{plan.host_port}"
    assert values["AzureWebJobsStorage"] == "UseDevelopmentStorage=true"
    assert plan.azurite_ports == (10000, 10001, 10002)


def test_make_run_names_a_port_that_is_taken() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        plan = Plan(LocalSettings(), (0, 0, 0), 0, port)

        with pytest.raises(StackFailed, match=f"Port {port} is taken"):
            plan.check_ports()


def test_our_host_and_the_app_agree_on_the_route_prefix() -> None:
    assert route_prefix(REPOSITORY / "host.json") == ROUTE_PREFIX
