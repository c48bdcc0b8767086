"""All commands of `manage.py` look and feel the same: what they take, how they explain themselves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from shared.cli.main import COMMANDS, cli

REPOSITORY = Path(__file__).parents[3]
WITHOUT_JSON = {"certs export", "completion"}
"""What they print is for machines already."""


def _walk(group: click.Group, path: str, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}".strip(), command
        if isinstance(command, click.Group):
            yield from _walk(command, f"{path} {name}".strip(), context)


ALL = dict(_walk(cli, "", click.Context(cli)))
LEAVES = {name: command for name, command in ALL.items() if not isinstance(command, click.Group)}


def options(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_speaks_json(name: str) -> None:
    takes_json = any("--json" in option.opts for option in options(LEAVES[name]))
    assert takes_json == (name not in WITHOUT_JSON)


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_option_says_what_it_is_for(name: str) -> None:
    command = ALL[name]
    summary = command.get_short_help_str(limit=72)
    assert summary.endswith(".") and not summary.endswith("..."), summary
    assert [option.opts for option in options(command) if not (option.help or "").strip().endswith((".", "]"))] == []


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_names_its_value(name: str) -> None:
    """Not by its type: `INTEGER RANGE` tells nobody what to write there."""
    context = click.Context(LEAVES[name])
    shown = [option.make_metavar(context) for option in options(LEAVES[name]) if not option.is_flag]
    assert not {"INTEGER RANGE", "INTEGER"} & set(shown), shown


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_the_same_as_the_commands(name: str) -> None:
    assert ALL[name].get_short_help_str(limit=200) == COMMANDS[name]


def test_bash_completes_commands_options_and_values() -> None:
    def completed(*words: str) -> list[str]:
        asked = {"COMP_WORDS": " ".join(["manage.py", *words]), "COMP_CWORD": str(len(words))}
        environment = os.environ | asked | {"_MANAGE_PY_COMPLETE": "bash_complete"}
        done = subprocess.run(
            [sys.executable, "manage.py"], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("re") == ["restore"]
    assert completed("certs", "list", "--sta") == ["--status"]
    assert completed("certs", "list", "--status", "he") == ["held"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "completion", shell], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )

    assert f"_MANAGE_PY_COMPLETE={shell}_complete" in done.stdout
