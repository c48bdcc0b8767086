"""`manage.py ca reconcile`: after a restore of the storage account, nothing published is taken back."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from shared.cli.console import emit, json_option, listing, operator_context

if TYPE_CHECKING:
    from shared.pki.revocation.reconciliation import ReconciledIssuer

DEFAULT_SKIP = 10_000


crl_option = click.option(
    "--crl",
    "crls",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CRL published after the backup, DER or PEM, from wherever a copy is left; can be given several times.",
)
skip_ids_option = click.option(
    "--skip-ids",
    metavar="N",
    type=click.IntRange(0, 1_000_000),
    default=DEFAULT_SKIP,
    show_default=True,
    help="How many ids of users, certificates and API tokens may have been given out since the backup.",
)


@click.command(short_help="After a restore of the storage account: un-revoke nothing.")
@crl_option
@skip_ids_option
@json_option
def reconcile(crls: tuple[Path, ...], skip_ids: int, as_json: bool) -> None:
    """After a restore: numbers and ids past all that were published, and nothing un-revoked.

    Reads the newest CRL of each issuer from the blob storage, and those given. Then publishes new ones.
    """
    from shared.pki.revocation.reconciliation import Reconciliation
    from shared.services import services

    context = operator_context()
    reconciliation = Reconciliation(services().ledger, services().authority, services().blobs)
    issuers = reconciliation.run([file.read_bytes() for file in crls], skip_ids, context)
    for issuer in issuers:
        services().crl_publisher.publish(issuer.issuer_id, context)
    emit([asdict(issuer) for issuer in issuers], as_json, lambda: issuers_table(issuers))


def issuers_table(issuers: "list[ReconciledIssuer]") -> Table:
    """What was found of each issuer."""
    rows = ((issuer.issuer_id, issuer.number, issuer.revoked, issuer.carried) for issuer in issuers)
    return listing(("Issuer", "Highest number found", "Revoked again", "Carried on"), rows)
