"""CSV files that say what to do, line by line."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from shared.errors import AppError

Fields = Mapping[str, str]


@dataclass(frozen=True)
class Line:
    """One thing to do. `number`: the line in the file, or the position on the command line, from 1."""

    number: int
    fields: Fields

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(dict(self.fields), sort_keys=True).encode()).hexdigest()


def read_lines(file: Path, columns: Sequence[str], one_of: Sequence[str]) -> list[Line]:
    """The lines of a CSV file in UTF-8 whose first line names its columns; empty fields are left out.

    Args:
        one_of: exactly one of these has to be there in each line.

    Raises: click.ClickException, naming the line.
    """
    lines: list[Line] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text, strict=True)
            _check_columns(reader.fieldnames or (), columns)
            for row in reader:
                fields = {name: value.strip() for name, value in _complete(row, reader.line_num) if value.strip()}
                if sum(name in fields for name in one_of) != 1:
                    raise click.ClickException(f"Line {reader.line_num} needs exactly one of {', '.join(one_of)}.")
                lines.append(Line(reader.line_num, fields))
    except (UnicodeDecodeError, csv.Error) as error:
        raise click.ClickException(f"{file} is not a CSV file in UTF-8: {error}.") from error
    return lines


class LineRefused(AppError):
    """What a line says cannot be done."""

    status, code = 422, "line_refused"


def whole_number(line: Line, name: str) -> int | None:
    """Raises LineRefused for what is none."""
    value = line.fields.get(name)
    if value is None:
        return None
    if not value.isascii() or not value.isdecimal() or int(value) < 1:
        raise LineRefused(f"{name} must be a whole number.")
    return int(value)


def one_word(line: Line, name: str, words: Sequence[str], default: str) -> str:
    """Raises LineRefused for what is none of the words."""
    value = line.fields.get(name, default)
    if value not in words:
        raise LineRefused(f"{name} must be one of {', '.join(words)}.")
    return value


def _check_columns(found: Sequence[str], columns: Sequence[str]) -> None:
    unknown = sorted(set(found) - set(columns))
    if unknown or len(set(found)) != len(found) or not found:
        raise click.ClickException(
            f"The first line must name columns out of {', '.join(columns)}, each once"
            + (f" (unknown: {', '.join(unknown)})." if unknown else ".")
        )


def _complete(row: Mapping[str | None, Any], number: int) -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        if name is None or not isinstance(value, str):
            raise click.ClickException(f"Line {number} has another number of columns than the first line.")
        yield name, value
