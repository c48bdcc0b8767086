"""`manage.py restore`: a backup becomes the directory again, with nothing given out twice and nothing un-revoked."""

from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Group as Lines

from shared.cli.backup import plain_summary
from shared.cli.console import emit, error_console, facts, json_option, operator_context, progress
from shared.cli.reconcile import crl_option, issuers_table, skip_ids_option
from shared.context import system_clock
from shared.errors import AppError

if TYPE_CHECKING:
    from shared.context import Context
    from shared.directory.backup import BackupSummary
    from shared.directory.ledger import Ledger
    from shared.pki.revocation.reconciliation import ReconciledIssuer

BUDGET = timedelta(hours=12)


@click.command("restore", short_help="Restore the directory from a backup.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@crl_option
@skip_ids_option
@click.option("--check", "only_check", is_flag=True, help="Only say whether FILE is good and could be restored here.")
@click.option("--start-again", is_flag=True, help="Drop what a restore that did not finish has left behind.")
@json_option
def command(
    file: Path, crls: tuple[Path, ...], skip_ids: int, only_check: bool, start_again: bool, as_json: bool
) -> None:
    """Restore the directory of this tenant from a backup FILE, into a table that has none.

    Stop the app first. All of FILE is checked before anything is written. Nothing is in use before everything is
    there; a restore that was interrupted goes on when it is run again. What `ca reconcile` does is part of it.
    """
    from shared.directory.backup import Restoration, Tally, verify_backup
    from shared.services import services

    restoration = Restoration(services().tables, services().settings.entra.tenant_id)
    with closing(Tally()) as tally:
        with progress("Checking the backup") as advance:
            summary = verify_backup(file, tally, advance)
        told = plain_summary(file, summary)
        if only_check:
            restoration.check(summary, start_again=start_again)
            emit(told, as_json, lambda: facts("Intact, and can be restored here", told))
            return
        services().tables.create_if_missing()
        services().blobs.create_if_missing()
        prepare = _Preparation(summary, tuple(crl.read_bytes() for crl in crls), skip_ids, operator_context(BUDGET))
        with progress("Restoring", summary.log_rows + summary.records) as advance:
            restored = restoration.run(
                file, summary, tally, prepare, prepare.context, start_again=start_again, progress=advance
            )
    _publish_crls()
    issuers = restored.prepared or []
    data = {**told, "issuers": [asdict(issuer) for issuer in issuers]}
    emit(data, as_json, lambda: Lines(facts("Restored", told), issuers_table(issuers)))
    error_console.print("Next: start the app, and synchronize everything (`manage.py sync --full`).")


@dataclass(frozen=True)
class _Preparation:
    """What has to be done to a restored directory before anybody uses it: numbers, ids and revocations."""

    summary: "BackupSummary"
    crls: tuple[bytes, ...]
    skip_ids: int
    context: "Context"

    def __call__(self, ledger: "Ledger") -> "list[ReconciledIssuer]":
        from shared.pki.authority.authority import Authority
        from shared.pki.revocation.reconciliation import Reconciliation, numbers_since
        from shared.services import services

        authority = Authority(ledger, services().signing_backend, services().settings.pki.signing_backend)
        skip_numbers = numbers_since(self.summary.started_at, system_clock())
        reconciliation = Reconciliation(ledger, authority, services().blobs)
        return reconciliation.run(self.crls, self.skip_ids, self.context, skip_numbers=skip_numbers)


def _publish_crls() -> None:
    """If it can be done from here: it takes the CA's key. The app's timer does it, too."""
    from shared.services import services

    for issuer in services().crl_publisher.issuers():
        try:
            services().crl_publisher.publish(issuer.id, operator_context())
        except AppError as error:
            error_console.print(
                f"The CRL of {issuer.id} was not published: {error.message} The timer publish_crls does it once the "
                "app runs, or `manage.py crl publish`.",
                style="yellow",
                markup=False,
            )
