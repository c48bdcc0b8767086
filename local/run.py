"""`make run`: the stack stays up, with its demo directory synchronized, until Ctrl-C.

Ports, tenant and secrets are those of local.settings.json, or else of local.settings.sample.json: what `func start`
reads when it takes the place of our functions host. Nothing is kept between two runs.
"""

import argparse
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from local.azurite.azurite import FREE_PORTS, WELL_KNOWN_PORTS
from local.demo_directory import fill
from local.functions_host.app_settings import InvalidSettingsFile, LocalSettings
from local.processes import REPOSITORY, ChildFailed, ChildProcess, exit_on_sigterm
from local.stack import (
    ABILITY,
    API,
    BACKENDS,
    SOFTWARE,
    Stack,
    StackFailed,
    empty_folder,
    free_port,
    running_cloud,
    running_stack,
)

STATE = REPOSITORY / ".local" / "run"
WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Plan:
    """What the stack is started with."""

    settings: LocalSettings
    azurite_ports: tuple[int, int, int]
    entra_port: int
    host_port: int

    @classmethod
    def read(cls) -> "Plan":
        """Raises: InvalidSettingsFile, KeyError naming a setting that is missing."""
        own = REPOSITORY / "local.settings.json"
        settings = LocalSettings.read(own if own.exists() else REPOSITORY / "local.settings.sample.json")
        authority = urlsplit(settings.values["ENTRA_AUTHORITY_HOST"])
        return cls(settings, WELL_KNOWN_PORTS, authority.port or 443, settings.port)

    def with_free_ports(self) -> "Plan":
        return replace(self, azurite_ports=FREE_PORTS, entra_port=0, host_port=free_port())

    def check_ports(self) -> None:
        """Raises StackFailed for a port that somebody else holds."""
        for port in (*self.azurite_ports, self.entra_port, self.host_port):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    raise StackFailed(
                        f"Port {port} is taken: end what holds it, or let `make run ARGS=--free-ports` find others."
                    ) from None


@dataclass(frozen=True)
class Running:
    stack: Stack
    processes: tuple[ChildProcess, ...]

    def first_ended(self) -> ChildProcess | None:
        return next((process for process in self.processes if process.exit_code is not None), None)


@contextmanager
def running(plan: Plan, folder: Path, backend: str) -> Iterator[Running]:
    """The whole stack, its tenant filled and synchronized."""
    values = plan.settings.values
    with ExitStack() as ends:
        cloud = ends.enter_context(
            running_cloud(
                folder,
                backend,
                azurite_ports=plan.azurite_ports,
                entra_port=plan.entra_port,
                tenant_id=values["ENTRA_TENANT_ID"],
                client_id=values["ENTRA_CLIENT_ID"],
                client_secret=values["ENTRA_CLIENT_SECRET"],
            )
        )
        fill(cloud.tenant)
        settings = {"ENTRA_SYNC_SCHEDULE": values["ENTRA_SYNC_SCHEDULE"], **cloud.settings}
        stack = ends.enter_context(
            running_stack(cloud.azurite, cloud.entra, cloud.tenant, folder, settings, plan.host_port)
        )
        stack.fire_timer("sync_tenant")
        yield Running(stack, (*cloud.processes, stack.host.process))


def describe(stack: Stack, console: Console) -> None:
    """Prints the address, the token, and commands that work as they stand."""
    person = next(user for user in stack.entra.snapshot().users.values() if user.state == "active")
    entra_token = stack.folder / "entra-token"
    entra_token.write_text(stack.entra.mint_token(user=person.id, roles=[ABILITY]))
    found = stack.api.get("users", params={"search": person.user_principal_name}).json()["data"]
    base = f"{stack.url}{API}"
    curl = "curl -sS --fail-with-body"
    bearer = f"-H 'Authorization: Bearer {stack.token}'"
    post = f"{curl} {bearer} -H 'Content-Type: application/json'"
    commands = (
        f"{curl} {bearer} {base}/health",
        f"{curl} {bearer} '{base}/users?search=garcia&per_page=5'",
        f"{curl} {bearer} {base}/statistics",
        f'{post} -d \'{{"user_principal_name": "{person.user_principal_name}"}}\' {base}/sync-user',
        f"{post} -d '{{\"user_id\": {found[0]['id']}}}' {base}/provision-certificate",
        f'{post} -d "{{\\"token\\": \\"$(cat {entra_token})\\"}}" {base}/validate-token',
    )
    out = console.out
    out("The app is up. For a shell of your own:\n")
    out(f"export URL={stack.url}")
    out(f"export TOKEN='{stack.token}'\n")
    out(f"Entra emulator: {stack.entra.url}, tenant {stack.entra.id}")
    out(f"Logs:           {stack.folder}/*.log\n")
    for command in commands:
        out(f"{command}\n")
    out("Fires the timer of the tenant sync, as the host's own endpoint: 202, nothing is printed.")
    out(f"{curl} -X POST {stack.url}/admin/functions/sync_tenant\n")
    trust = stack.settings["REQUESTS_CA_BUNDLE"]
    out(f"REQUESTS_CA_BUNDLE={trust} {sys.executable} manage.py --settings {stack.settings_file} audit verify\n")
    out("Ctrl-C ends it.")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.run", description=__doc__)
    parser.add_argument("--state", type=Path, default=STATE, help="where keys and logs go; emptied first")
    parser.add_argument("--free-ports", action="store_true", help="take free ports instead of those of the settings")
    parser.add_argument("--backend", choices=BACKENDS, default=SOFTWARE, help="where the CA's key is kept")
    arguments = parser.parse_args()
    exit_on_sigterm()
    console = Console(soft_wrap=True)
    try:
        plan = Plan.read()
        if arguments.free_ports:
            plan = plan.with_free_ports()
        plan.check_ports()
        with empty_folder(arguments.state) as state, running(plan, state, arguments.backend) as stack:
            describe(stack.stack, console)
            while (ended := stack.first_ended()) is None:
                time.sleep(WATCH_SECONDS)
            raise StackFailed(f"{ended.name} ended by itself:\n{ended.tail}")
    except KeyboardInterrupt:
        return 0
    except (StackFailed, ChildFailed, InvalidSettingsFile, FileNotFoundError) as failure:
        console.out(f"Error: {failure}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
