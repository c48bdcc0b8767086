"""`manage.py users`: people who do not come from Entra."""

import csv
from collections.abc import Iterator
from pathlib import Path

import click

from shared.cli.console import emit, json_option, operator_context, progress
from shared.directory.local_users import LONGEST, Imported, LocalUser

COLUMNS = ("name", "user_principal_name", "email", "department", "job_title", "employee_id")
CHUNK = 90
"""People per ledger call: one transaction."""


@click.group("users", help="Import local users.")
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
