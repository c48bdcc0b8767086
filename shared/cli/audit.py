"""`manage.py audit`: reads the log of all changes and checks that nobody altered it or the records."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from shared.cli.console import emit, json_option, listing, printable, progress
from shared.directory.records.base import format_time

if TYPE_CHECKING:
    from shared.directory.audit import AuditReport
    from shared.directory.log import LogOperation, LogRow
    from shared.pki.authority.log_anchors import FoundAnchors

_SHOWN_KEYS = 3


@click.group()
def command() -> None:
    """List and verify the log of all changes."""


@command.command("list")
@click.option(
    "--key", metavar="KEY", help="Only changes of this record, or of all whose key starts so if it ends in `|`."
)
@click.option("--action", metavar="ACTION", help="Only this action, for example user.synced.")
@click.option("--actor", metavar="ACTOR", help="Only changes by this actor: its id or its name.")
@click.option("--after", metavar="N", type=click.IntRange(min=0), default=0, help="Only log rows after this number.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), default=100, show_default=True, help="The latest so many."
)
@json_option
def list_changes(key: str | None, action: str | None, actor: str | None, after: int, limit: int, as_json: bool) -> None:
    """Show who did what to which record, and when; oldest first."""
    from shared.services import services

    latest: deque[tuple[LogRow, LogOperation]] = deque(maxlen=limit)
    with progress("Reading the log") as advance:
        for row in services().ledger.log(after):
            latest.extend((row, operation) for operation in row.operations if _matches(operation, key, action, actor))
            advance(1)
    emit([_plain(row, operation) for row, operation in latest], as_json, lambda: _table(iter(latest)))


@command.command("verify", short_help="Check that nobody altered log or records.")
@json_option
@click.pass_context
def verify_log(context: click.Context, as_json: bool) -> None:
    """Check the hash chain, every record against the log, and the log against the hashes that the CA signed.

    Exit code 1: something is altered, added or missing.
    """
    from shared.directory.audit import verify
    from shared.services import services

    anchors = services().log_anchors.found()
    with progress("Checking log and records") as advance:
        signed = [(anchor.seq, anchor.hash) for anchor in anchors.good]
        report = verify(services().ledger.partition, anchors=signed, progress=advance)
    data = {**asdict(report), "anchors": asdict(anchors)}
    emit(data, as_json, lambda: f"{_verdict(report)}\n{_signed(anchors)}")
    if not report.is_clean or anchors.problems:
        context.exit(1)


def _matches(operation: "LogOperation", key: str | None, action: str | None, actor: str | None) -> bool:
    if action is not None and operation.action != action:
        return False
    if actor is not None and actor not in (operation.actor.id, operation.actor.name):
        return False
    if key is None:
        return True
    if key.endswith("|"):
        return any(change.key.startswith(key) for change in operation.changes)
    return any(change.key == key for change in operation.changes)


def _plain(row: "LogRow", operation: "LogOperation") -> dict[str, Any]:
    return {
        "seq": row.seq,
        "time": format_time(row.time),
        "action": operation.action,
        "actor": asdict(operation.actor),
        "request_id": operation.request_id,
        "changes": [{"key": change.key, "sha256": change.sha256} for change in operation.changes],
    }


def _table(entries: "Iterator[tuple[LogRow, LogOperation]]") -> Table:
    titles = ("Seq", "Time (UTC)", "Action", "Actor", "Records", "Request")
    rows = (
        (row.seq, row.time, operation.action, *_who_what(operation), operation.request_id) for row, operation in entries
    )
    return listing(titles, rows)


def _who_what(operation: "LogOperation") -> tuple[str, str]:
    """The actor, and the keys of the records; a minus says that one was deleted."""
    keys = [("−" if change.sha256 is None else "") + change.key for change in operation.changes]
    more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
    actor = f"{operation.actor.kind} {operation.actor.name or operation.actor.id}"
    return actor, "\n".join(keys[:_SHOWN_KEYS]) + more


def _signed(anchors: "FoundAnchors") -> str:
    last = max(anchors.good, key=lambda anchor: anchor.seq, default=None)
    lines = ["No hash of the log was signed yet: a whole new log could not be told from this one."]
    if last is not None:
        moment = f"{last.signed_at:%Y-%m-%d %H:%M} UTC"
        lines = [f"Signed hashes compared: {len(anchors.good)}, the last of log row {last.seq}, signed {moment}."]
    if anchors.left_behind:
        first = min(anchor.seq for anchor in anchors.left_behind)
        lines.append(f"{len(anchors.left_behind)} more, from log row {first} on, are of what a restore left behind.")
    lines += [f"[red]Not an anchor[/red]: {escape(printable(problem))}" for problem in anchors.problems]
    return "\n".join(lines)


def _verdict(report: "AuditReport") -> str:
    checked = f"{report.log_rows} log rows and {report.records} records checked, up to log row {report.seq}"
    if report.redactions:
        copies = sum(redaction.copies for redaction in report.redactions)
        checked += f"; purges took {copies} copies of the data of {len(report.redactions)} records out of the log"
    unfinished = "".join(
        f"\nThe purge of the user {user_id} is not finished: python manage.py users purge {user_id}"
        for user_id in report.unfinished_purges
    )
    if report.is_clean:
        return f"[green]Intact[/green]: {checked}.{unfinished}"
    more = "\nThere is more; only the first are listed." if report.truncated else ""
    lines = "\n".join(f"  {escape(printable(f'{finding.key}: {finding.problem}'))}" for finding in report.findings)
    return f"[red]Not intact[/red]: {checked}.\n{lines}{more}{unfinished}"
