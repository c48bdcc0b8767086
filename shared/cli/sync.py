"""`manage.py sync`: bring the directory in step with the tenant now."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group as Lines
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from shared.cli.console import emit, error_console, facts, json_option, listing, operator_context

if TYPE_CHECKING:
    from shared.entra.tenant_sync import TenantSync, Watch
    from shared.entra.tenant_sync.preview import Preview
    from shared.entra.tenant_sync.report import SyncProgress, SyncReport

_EXIT_CODES = {"completed": 0, "continued": 0}


@click.command("sync", short_help="Synchronize the tenant now.")
@click.option("--full", is_flag=True, help="Read and compare everything, not only what changed.")
@click.option("--dry-run", is_flag=True, help="Say what a full sync would do, and do nothing.")
@click.option("--accept-removals", is_flag=True, help="Record all departures, however many.")
@json_option
def command(full: bool, dry_run: bool, accept_removals: bool, as_json: bool) -> None:
    """Synchronize the tenant now, until all is in step.

    A run that used up its time is continued at once. Exit code 1 if in the end not all is in step.
    """
    from shared.entra.tenant_sync import SyncOrder
    from shared.services import services

    tenant_sync = services().tenant_sync
    if dry_run:
        return _preview(tenant_sync, as_json)
    with _progress_bar() as watch:
        report = tenant_sync.run(operator_context(), SyncOrder(full=full, accept_removals=accept_removals), watch)
        while report.outcome == "continued":
            report = tenant_sync.run(operator_context(), SyncOrder(accept_removals=accept_removals), watch)
    emit(_plain(report), as_json, lambda: _summary(report, tenant_sync))
    if report.outcome not in _EXIT_CODES:
        raise SystemExit(1)
    return None


@contextmanager
def _progress_bar() -> "Iterator[Watch]":
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=error_console) as bar:
        task = bar.add_task("Synchronizing", total=None, rate="")

        def show(progress: "SyncProgress") -> None:
            bar.update(
                task,
                description=f"Synchronizing ({progress.mode}): {progress.phase.replace('_', ' ')}",
                completed=progress.counts.seen,
                total=progress.expected,
                rate=f"{progress.rate:,.0f} users/s" if progress.rate else "",
            )

        yield show


def _preview(tenant_sync: "TenantSync", as_json: bool) -> None:
    with Progress(TextColumn("Comparing"), MofNCompleteColumn(), TimeElapsedColumn(), console=error_console) as bar:
        task = bar.add_task("", total=None)

        def show(preview: "Preview") -> None:
            bar.update(task, completed=preview.created + preview.updated + preview.unchanged + preview.failed)

        found = tenant_sync.preview(operator_context(), show)
    emit(_preview_as_json(found), as_json, lambda: _preview_as_tables(found))


def _preview_as_json(found: "Preview") -> dict[str, Any]:
    lost = [
        {
            "certificate_id": each.certificate.certificate_id,
            "serial_number": each.certificate.serial_number,
            "subject": each.certificate.subject,
            "user_id": each.user_id,
            "user_principal_name": each.user_principal_name,
            "because": each.because,
            "reason": each.certificate.reason,
        }
        for each in found.certificates
    ]
    return {**_preview_counts(found), "certificates": lost, "held": found.held}


def _preview_counts(found: "Preview") -> dict[str, int]:
    names = ("created", "updated", "leaving", "unchanged", "failed", "groups")
    return {name: getattr(found, name) for name in names}


def _preview_as_tables(found: "Preview") -> Lines:
    counts = _preview_counts(found) | {"certificates lost": len(found.certificates)}
    lines: list[Table | Text] = [facts("A full sync would find", counts)]
    if found.certificates:
        lines.append(_losses(found))
    if found.held:
        lines.append(Text(f"The deletion guard would say: {found.held}"))
    return Lines(*lines)


def _losses(found: "Preview") -> Table:
    headings = ("User", "Because", "Certificate", "Serial number", "Subject", "Reason")
    rows = (
        (
            *(each.user_principal_name or each.user_id, each.because, each.certificate.certificate_id),
            *(each.certificate.serial_number, each.certificate.subject, each.certificate.reason),
        )
        for each in found.certificates
    )
    return listing(headings, rows, "Certificates that would be lost")


def _plain(report: "SyncReport") -> dict[str, Any]:
    data = asdict(report)
    return {**data.pop("counts"), **data}


def _summary(report: "SyncReport", tenant_sync: "TenantSync") -> Lines:
    counts = {
        "outcome": report.outcome,
        "mode": report.mode,
        "created": report.created,
        "updated": report.updated,
        "deactivated": report.deactivated,
        "unchanged": report.unchanged,
        "failed": report.failed,
        "certificates lost": report.counts.certificates,
        "Graph requests": report.requests,
        "resource units": report.resource_units,
        "seconds": f"{report.duration.total_seconds():.1f}",
    }
    status = tenant_sync.status()
    notes = [report.error] if report.error else []
    notes += [status.held.reason] if status.held else []
    notes += [f"{each.object_id or '-'}: {each.message}" for each in status.errors[:5] if report.failed]
    return Lines(facts("Tenant sync", counts), *(Text(note) for note in notes))
