"""`manage.py completion`: lets a shell complete commands, options and their values."""

import click
from click.shell_completion import get_completion_class

PROGRAM = "manage.py"
VARIABLE = "_MANAGE_PY_COMPLETE"


@click.command("completion", short_help="Print the completion script for a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that lets SHELL complete `manage.py`, called as `./manage.py` or by its name on the PATH.

    bash: `eval "$(./manage.py completion bash)"` in ~/.bashrc; zsh: the same with zsh in ~/.zshrc; fish:
    `./manage.py completion fish > ~/.config/fish/completions/manage.py.fish`.
    """
    from shared.cli.main import cli

    completion = get_completion_class(shell)
    assert completion is not None  # the choice above is click's own
    click.echo(completion(cli, {}, PROGRAM, VARIABLE).source())
