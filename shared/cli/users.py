"""`manage.py users`: people who do not come from Entra, and the erasure of the data of people who have left."""

import csv
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from shared.cli.console import emit, error_console, json_option, operator_context, progress, steps
from shared.directory.local_users import LONGEST, Imported, LocalUser

COLUMNS = ("name", "user_principal_name", "email", "department", "job_title", "employee_id")
CHUNK = 90
"""People per ledger call: one transaction."""


if TYPE_CHECKING:
    from shared.pki.revocation.purge import PurgeOutlook, PurgeReport


@click.group("users", help="Import local users, and erase the data of users who have left.")
def command() -> None:
    """The root of `manage.py users`."""


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def import_users(file: Path, as_json: bool) -> None:
    """Import people from a CSV FILE who are not in Entra ID.

    The first line names the columns: name (required), user_principal_name, email, department, job_title, employee_id.
    They can be listed by id, but are not part of the synchronized users, and no certificates are issued to them.
    A second import updates those with the same user principal name (else e-mail address).
    """
    from shared.directory.local_users import LocalUsers
    from shared.services import services

    people = list(read_people(file))
    local_users = LocalUsers(services().ledger)
    total = Imported()
    with progress("Importing users", len(people)) as advance:
        for start in range(0, len(people), CHUNK):
            chunk = people[start : start + CHUNK]
            total = total.plus(local_users.import_some(chunk, operator_context()))
            advance(len(chunk))
    data = {"created": total.created, "updated": total.updated, "unchanged": total.unchanged}
    emit(data, as_json, lambda: ", ".join(f"{number} {word}" for word, number in data.items()))


@command.command()
@click.argument("user_id", type=click.IntRange(min=1), metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def purge(user_id: int, yes: bool, as_json: bool) -> None:
    """Erase the personal data of the user with this local ID, for good.

    For users deleted in Entra ID for good, and for local users. The names, addresses and groups go, and with them the
    certificates themselves, from the records, the log and the snapshots; all instances of the app follow. Certificates
    that are still valid are revoked. What stays: ids, times, states, serial numbers and hashes. A purge that was
    interrupted is gone on with by the same command.
    """
    from shared.services import services

    outlook = services().user_purge.outlook(user_id)
    if not yes and (outlook.unfinished or outlook.user.purged_at is None):
        error_console.print(_warning(outlook))
        click.confirm("Erase it for good?", abort=True, err=True)
    with steps() as step:
        report = services().user_purge.run(user_id, operator_context(), step)
    emit(asdict(report), as_json, lambda: _purged(report))


def _warning(outlook: "PurgeOutlook") -> str:
    user = outlook.user
    if outlook.unfinished:
        return f"The purge of the user {user.id} is not finished; traces may be left in the log."
    known_as = escape(" ".join(filter(None, (user.name, user.user_principal_name and f"({user.user_principal_name})"))))
    return (
        f"This erases the personal data of the user {user.id}, {known_as}. "
        f"Certificates: {outlook.certificates}, of which {outlook.live} are not revoked yet, and will be."
    )


def _purged(report: "PurgeReport") -> str:
    since = f"The user {report.user_id} is purged since {report.erased_at:%Y-%m-%d %H:%M} UTC."
    if not report.log_copies and not report.certificates:
        return f"{since} There was nothing left to erase."
    acted = f"\nWho acted in {report.acted} operations of the log was this user; that stays." if report.acted else ""
    return (
        f"{since} Certificates erased: {report.certificates}, of which revoked now: {report.revoked}. "
        f"Copies taken out of the log: {report.log_copies}. Snapshots deleted: {report.snapshots}.{acted}"
    )


def read_people(file: Path) -> Iterator[LocalUser]:
    """The people in a CSV file (UTF-8, with or without byte order mark). Raises click.ClickException with the line."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            _check_columns(reader.fieldnames or ())
            for row in reader:
                yield _person(row, reader.line_num)
    except (UnicodeDecodeError, csv.Error) as error:
        raise click.ClickException(f"{file} is not a CSV file in UTF-8: {error}.") from error


def _check_columns(names: object) -> None:
    found = [str(name) for name in names] if isinstance(names, list) else []
    unknown = sorted(set(found) - set(COLUMNS))
    if unknown or "name" not in found or len(set(found)) != len(found):
        reason = f"unknown: {', '.join(unknown)}" if unknown else "`name` is missing, or a column is there twice"
        raise click.ClickException(f"The first line must name columns out of {', '.join(COLUMNS)} ({reason}).")


def _person(row: dict[str | None, str | list[str] | None], line: int) -> LocalUser:
    values: dict[str, str | None] = {}
    for column, value in row.items():
        if column is None or not isinstance(value, str):
            raise click.ClickException(f"Line {line} has another number of columns than the first line.")
        text = value.strip()
        if len(text) > LONGEST or not text.isprintable():
            raise click.ClickException(f"Line {line}: {column} is too long or contains control characters.")
        values[column] = text or None
    name = values.pop("name")
    if name is None:
        raise click.ClickException(f"Line {line} has no name.")
    for column in ("user_principal_name", "email"):
        text = values.get(column) or "a@b"
        if text.count("@") != 1 or " " in text:
            raise click.ClickException(f"Line {line}: {column} is not an address.")
    return LocalUser(name, **values)
