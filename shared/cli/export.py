"""`manage.py export`: the directory's users, certificates and revocations as CSV, row by row as they are read."""

import csv
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from shared.cli.console import emit, iso, json_option, progress
from shared.context import system_clock
from shared.directory.records.base import parse_time
from shared.directory.records.certificate import Certificate, CertificateKind, CertificateStatus
from shared.directory.records.crl import CarriedRevocation
from shared.directory.records.user import User
from shared.directory.replica.queries import effective_status
from shared.directory.whole_file import whole_file

if TYPE_CHECKING:
    from shared.directory.ledger import Ledger

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A spreadsheet takes a cell that begins so for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""

USER_COLUMNS = (
    *("id", "object_id", "user_principal_name", "name", "email", "is_active", "account_enabled", "in_scope"),
    *("deletion", "user_type", "department", "job_title", "company_name", "employee_id"),
    *("synced_at", "deleted_at", "purged_at", "created_at", "updated_at"),
)
CERTIFICATE_COLUMNS = (
    *("id", "user_id", "user_principal_name", "email", "certificate_type", "status", "subject", "serial_number"),
    *("issuer_id", "issuer", "not_before", "not_after", "key_type", "key_size", "key_origin", "fingerprint"),
    *("issued_at", "revoked_at", "revocation_reason", "revocation_source", "created_at", "updated_at"),
)
CERTIFICATE_TIMES = ("not_before", "not_after", "issued_at", "revoked_at", "created_at", "updated_at")
REVOCATION_COLUMNS = (
    *("serial_number", "issuer_id", "status", "revoked_at", "revocation_reason", "revocation_source"),
    *("certificate_id", "user_id", "user_principal_name", "certificate_type", "not_after"),
)


@dataclass(frozen=True, slots=True)
class Export:
    """What can be exported: its columns, and one mapping from column to value for each row."""

    columns: tuple[str, ...]
    rows: "Callable[[Ledger], Iterator[Mapping[str, Any]]]"


def _users(ledger: "Ledger") -> Iterator[Mapping[str, Any]]:
    for user in ledger.scan(User):
        yield {name: getattr(user, name) for name in USER_COLUMNS}


def _certificates(ledger: "Ledger") -> Iterator[Mapping[str, Any]]:
    """Those of users; without the bytes that were signed, which are not read either."""
    now = system_clock()
    for row in ledger.replicated_rows(Certificate):
        if row["kind"] == CertificateKind.ENTRA_USER:
            moments = {name: parse_time(str(row[name])) for name in CERTIFICATE_TIMES if name in row}
            status = effective_status(CertificateStatus(str(row["status"])), moments["not_after"], now)
            yield {**row, **moments, "status": status}


def _revocations(ledger: "Ledger") -> Iterator[Mapping[str, Any]]:
    """Held ones too; and what only an earlier CRL knows of, after a restore."""
    for row in _certificates(ledger):
        if row["status"] in (CertificateStatus.REVOKED, CertificateStatus.HELD):
            yield {**row, "certificate_id": row["id"]}
    for carried in ledger.scan(CarriedRevocation):
        yield {
            "serial_number": carried.serial_number,
            "issuer_id": carried.issuer_id,
            "status": CertificateStatus.REVOKED,
            "revoked_at": carried.revoked_at,
            "revocation_reason": carried.reason,
        }


EXPORTS: Mapping[str, Export] = {
    "users": Export(USER_COLUMNS, _users),
    "certificates": Export(CERTIFICATE_COLUMNS, _certificates),
    "revocations": Export(REVOCATION_COLUMNS, _revocations),
}


@click.command("export", short_help="Write users, certificates or revocations as CSV.")
@click.argument("what", type=click.Choice(list(EXPORTS)))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@json_option
def command(what: str, file: Path, as_json: bool) -> None:
    """Write users, certificates or revocations to FILE as CSV (UTF-8, one line of column names); `-`: to the terminal.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    from shared.services import services

    chosen = EXPORTS[what]
    count = 0
    with _output(file) as text, progress(f"Exporting {what}") as advance:
        writer = csv.writer(text)
        writer.writerow(chosen.columns)
        for row in chosen.rows(services().ledger):
            writer.writerow([_cell(row.get(name)) for name in chosen.columns])
            count += 1
            advance(1)
    if str(file) != "-":
        emit({"file": str(file), "rows": count}, as_json, lambda: f"{count:,} {what} in {file}")


@contextmanager
def _output(file: Path) -> Iterator[IO[str]]:
    if str(file) == "-":
        with _csv_text(sys.stdout.buffer) as text:
            yield text
    else:
        with whole_file(file, replace=True) as raw, _csv_text(raw) as text:
            yield text


@contextmanager
def _csv_text(binary: IO[bytes]) -> Iterator[IO[str]]:
    text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
    try:
        yield text
    finally:
        text.detach()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return iso(value)
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
