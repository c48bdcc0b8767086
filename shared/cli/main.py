"""The command line's root: loads a command's module only when it is asked for, and shows errors in sentences."""

import importlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import click

from shared.cli.console import error_console
from shared.errors import AppError
from shared.settings import InvalidSettings

COMMANDS: Mapping[str, str] = {
    "audit": "List and verify the log of all changes.",
    "backup": "Write the directory to a file.",
    "ca": "Create, show and renew the certificate authority.",
    "certs": "List, show, issue, renew, export, revoke, hold and release certificates.",
    "completion": "Print the completion script for a shell.",
    "crl": "Publish and show CRLs.",
    "doctor": "Check everything that the app stands on, and say how to mend it.",
    "export": "Write users, certificates or revocations as CSV.",
    "restore": "Restore the directory from a backup.",
    "stats": "Show figures, and issuance, revocation and expiry over time.",
    "sync": "Synchronize the tenant now.",
    "token": "Create, list and revoke API tokens.",
    "users": "Import local users, and erase the data of users who have left.",
}
LOCAL_SETTINGS = Path("local.settings.json")


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"shared.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A local.settings.json whose values are used where the environment has none "
    "[default: local.settings.json in the current folder, if there is one].",
)
@click.option("-v", "--verbose", is_flag=True, help="Also print what the app and its libraries log.")
def cli(settings_file: Path | None, verbose: bool) -> None:
    """Operate the certificate authority: the same settings and code as the function app.

    Exit codes: 0 done; 1 refused, failed, or something was found wrong; 2 the command line is wrong.
    """
    _set_up_logging(verbose)
    path = settings_file or (LOCAL_SETTINGS if LOCAL_SETTINGS.exists() else None)
    if path is not None:
        load_local_settings(path)


def load_local_settings(path: Path) -> None:
    """Puts the `Values` of a local.settings.json into the environment, without overriding what is set."""
    try:
        values = dict(json.loads(path.read_text(encoding="utf-8"))["Values"].items())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise click.ClickException(f"{path} is not a local.settings.json: it needs an object `Values`.") from None
    for name, value in values.items():
        os.environ.setdefault(name, str(value))


def _set_up_logging(verbose: bool) -> None:
    """Errors reach the operator as sentences; what libraries log on the way there would only bury them."""
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    else:
        logging.getLogger().addHandler(logging.NullHandler())


def main() -> None:
    """Exit code 0: done; 1: refused or failed, with a sentence; 2: the command line was wrong."""
    try:
        cli(prog_name="manage.py", standalone_mode=True)
    except InvalidSettings as invalid:
        _fail(invalid.report)
    except AppError as error:
        _fail(f"Error: {error.message}")
    except OSError as error:
        file = f"{error.filename}: " if error.filename is not None else ""
        _fail(f"Error: {file}{error.strerror or error}.")


def _fail(report: str) -> NoReturn:
    error_console.print(report, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)
