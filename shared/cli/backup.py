"""`manage.py backup`: the whole directory in one file, while the app goes on."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shared.cli.console import emit, facts, json_option, progress

if TYPE_CHECKING:
    from shared.directory.backup import BackupSummary


@click.command("backup", short_help="Write the directory to a file.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def command(file: Path, as_json: bool) -> None:
    """Write the directory, with its log, to a new FILE: gzip of JSON lines, checked by its own hash chain.

    The app need not stop. The file holds personal data and no keys: the CA's key stays where it is.
    """
    from shared.directory.backup import back_up
    from shared.services import services

    with progress("Backing up") as advance:
        summary = back_up(services().ledger.partition, file, progress=advance)
    emit(plain_summary(file, summary), as_json, lambda: facts("Backup", plain_summary(file, summary)))


def plain_summary(file: Path, summary: "BackupSummary") -> dict[str, Any]:
    """What is told of a backup."""
    fields = asdict(summary)
    head = fields.pop("head")
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        **fields,
        "last_log_row": head["seq"],
        "last_change_at": head["time"],
    }
