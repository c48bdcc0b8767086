"""`manage.py certs revoke`, `hold` and `release`: take certificates away, and give back those on hold."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from shared.cli.bulk import (
    NoResults,
    Outcome,
    dry_run_option,
    finish,
    jobs_option,
    open_results,
    results_option,
    work_through,
)
from shared.cli.bulk_file import Line, LineRefused, one_word, read_lines, whole_number
from shared.cli.certificate_selection import Selection, selection_options
from shared.cli.console import emit, json_option, operator_context, progress
from shared.context import system_clock
from shared.directory.records.certificate import (
    Certificate,
    CertificateStatus,
    RevocationReason,
    SerialNumber,
    certificate_key,
    serial_number_key,
)
from shared.directory.replica.queries import EffectiveStatus, effective_status
from shared.errors import AppError
from shared.pki.errors import AlreadyRevoked, CertificateExpired, CertificateNotFound
from shared.pki.revocation.revocation import REQUESTABLE

REASONS = sorted(reason.value for reason in REQUESTABLE - {RevocationReason.CERTIFICATE_HOLD})
COLUMNS = ("certificate_id", "serial_number", "reason", "comment")


@click.command()
@selection_options
@click.option(
    "--reason",
    type=click.Choice(REASONS),
    default=RevocationReason.UNSPECIFIED.value,
    show_default=True,
    help="RFC 5280's name for why.",
)
@click.option("--comment", metavar="TEXT", help="For the record; at most 500 characters.")
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"Instead of IDs: CSV with a header line, {', '.join(COLUMNS)}.",
)
@results_option("FILE.results.jsonl")
@jobs_option
@dry_run_option
@json_option
def revoke(
    reason: str,
    comment: str | None,
    file: Path | None,
    results: Path | None,
    jobs: int,
    dry_run: bool,
    as_json: bool,
    **selection: Any,
) -> None:
    """Revoke certificates for good: those named, or those in a file.

    What is done of a file is written to the results file; the same command again goes on from there.
    """
    if file is not None and any(selection.values()):
        raise click.UsageError("Name certificates in the file or on the command line, not both.")
    if file is not None:
        lines = read_lines(file, COLUMNS, one_of=("certificate_id", "serial_number"))
    else:
        chosen = Selection(**selection).find(EffectiveStatus.ACTIVE, EffectiveStatus.HELD, EffectiveStatus.PENDING)
        lines = [Line(number, {"certificate_id": str(number)}) for number in chosen]
    if dry_run:
        summary = work_through("Checking", lines, NoResults(), jobs, partial(_check, reason))
    elif file is None:
        _take_away("Revoking", chosen, RevocationReason(reason), comment, as_json)
        return
    else:
        results = results or file.with_name(f"{file.name}.results.jsonl")
        with open_results(results) as keeper:
            summary = work_through("Revoking", lines, keeper, jobs, partial(_revoke, reason, comment))
    emit(summary.as_json(None if dry_run else results), as_json, lambda: str(summary))
    finish(summary, "Line" if file else "Certificate")


@click.command()
@selection_options
@click.option("--comment", metavar="TEXT", help="For the record; at most 500 characters.")
@json_option
def hold(comment: str | None, as_json: bool, **selection: Any) -> None:
    """Put certificates on hold: revoked until released."""
    chosen = Selection(**selection).find(EffectiveStatus.ACTIVE)
    _take_away("Holding", chosen, RevocationReason.CERTIFICATE_HOLD, comment, as_json)


@click.command()
@selection_options
@json_option
def release(as_json: bool, **selection: Any) -> None:
    """Lift holds that were put by request."""
    from shared.services import services

    chosen = Selection(**selection).find(EffectiveStatus.HELD)
    _each("Releasing", chosen, lambda number: services().revocation.release(number, operator_context()), as_json)


def _revoke(reason: str, comment: str | None, line: Line) -> Outcome:
    from shared.services import services

    number, why = _certificate_id(line), _reason(line, reason)
    said = line.fields.get("comment", comment)
    after = services().revocation.revoke(number, why, operator_context(), comment=said)
    return {"certificate_id": after.id, "revocation_reason": after.revocation_reason}


def _check(reason: str, line: Line) -> Outcome:
    """Raises what revoking would, as far as can be told without doing it."""
    from shared.services import services

    number, why = _certificate_id(line), _reason(line, reason)
    found = services().ledger.get(Certificate, certificate_key(number))
    if found is None:
        raise CertificateNotFound(number)
    if found.status is CertificateStatus.REVOKED and found.revocation_reason is not why:
        raise AlreadyRevoked(found)
    if _status(found) is EffectiveStatus.EXPIRED:
        raise CertificateExpired(found)
    return {}


def _certificate_id(line: Line) -> int:
    """By id, or by serial number as hex with or without colons. Raises LineRefused, CertificateNotFound."""
    from shared.services import services

    number = whole_number(line, "certificate_id")
    if number is not None:
        return number
    serial_number = line.fields["serial_number"].replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{1,40}", serial_number):
        raise LineRefused("serial_number must be hexadecimal.")
    found = services().ledger.get(SerialNumber, serial_number_key(serial_number))
    if found is None:
        raise CertificateNotFound(serial_number)
    return found.certificate_id


def _reason(line: Line, default: str) -> RevocationReason:
    return RevocationReason(one_word(line, "reason", REASONS, default))


def _take_away(title: str, chosen: list[int], reason: RevocationReason, comment: str | None, as_json: bool) -> None:
    from shared.services import services

    def act(number: int) -> Certificate:
        return services().revocation.revoke(number, reason, operator_context(), comment=comment)

    _each(title, chosen, act, as_json)


def _each(title: str, chosen: list[int], act: Callable[[int], Certificate], as_json: bool) -> None:
    """One after the other; those that cannot be done are told at the end, and then the exit code is 1."""
    done: list[dict[str, Any]] = []
    refused: list[str] = []
    with progress(title, len(chosen)) as advance:
        for number in chosen:
            try:
                after = act(number)
                done.append({"id": after.id, "status": _status(after), "revocation_reason": after.revocation_reason})
            except AppError as error:
                refused.append(error.message)
            advance(1)
    emit({"done": done, "refused": refused}, as_json, lambda: f"{len(done)} done, {len(refused)} refused")
    if refused:
        raise click.ClickException(" ".join(refused[:5]))


def _status(certificate: Certificate) -> EffectiveStatus:
    """What lists and the API say: active or expired, where the record says issued."""
    return effective_status(certificate.status, certificate.not_after, system_clock())
