"""`manage.py` in this process: its commands, run on services that a test has."""

import importlib
import json
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner, Result

Run = Callable[..., Result]


def run_command(name: str, *arguments: str, code: int = 0) -> Result:
    """Runs `manage.py NAME …`; raises what `main` would turn into a sentence."""
    command = importlib.import_module(f"shared.cli.{name}").command
    result = CliRunner().invoke(command, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def as_json(result: Result) -> Any:
    return json.loads(result.stdout)
