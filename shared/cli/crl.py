"""`manage.py crl`: publish CRLs now, and show those that are published."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.table import Table

from shared.cli.console import emit, error_console, json_option, listing, operator_context

if TYPE_CHECKING:
    from shared.directory.records.crl import CrlPointer


@click.group()
def command() -> None:
    """Publish and show CRLs."""


@command.command()
@click.option("--issuer", "issuer_id", metavar="ISSUER", help="Only for this issuer; all of them otherwise.")
@click.option(
    "--if-due", is_flag=True, help="Only where an hour has passed or something was revoked, as the timer does."
)
@json_option
def publish(issuer_id: str | None, if_due: bool, as_json: bool) -> None:
    """Make and publish a new CRL now. The CRL in use before stays valid until its nextUpdate."""
    from shared.services import services

    publisher, context = services().crl_publisher, operator_context()
    wanted = [issuer_id] if issuer_id else [issuer.id for issuer in publisher.issuers()]
    publications = [publisher.publish(each, context, force=not if_due) for each in wanted]
    if not publications:
        error_console.print("There is no issuer yet: run `manage.py ca init --name …`.")
    _show([each.pointer for each in publications if each.pointer is not None], as_json)


@command.command(short_help="Show the published CRL of each issuer.")
@json_option
def show(as_json: bool) -> None:
    """Show the published CRL of each issuer: number, entries, size and times."""
    from shared.directory.records.crl import CrlPointer
    from shared.services import services

    _show(list(services().ledger.scan(CrlPointer)), as_json)


def _show(pointers: "list[CrlPointer]", as_json: bool) -> None:
    emit([asdict(pointer) for pointer in pointers], as_json, lambda: _table(pointers))


def _table(pointers: "list[CrlPointer]") -> Table:
    headings = ("Issuer", "Number", "Entries", "Bytes", "thisUpdate (UTC)", "nextUpdate (UTC)", "SHA-256")
    rows = (
        (
            *(pointer.issuer_id, pointer.number, pointer.entries, pointer.size, pointer.this_update),
            *(pointer.next_update, pointer.sha256 or "not published yet"),
        )
        for pointer in pointers
    )
    return listing(headings, rows)
