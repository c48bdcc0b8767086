"""`manage.py doctor`: is everything there that the app stands on, and if not, what to do about it?"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from shared.cli.console import cell, console, emit, json_option, printable, progress, state_style
from shared.settings import InvalidSettings

if TYPE_CHECKING:
    from shared.cli.checkup.checks import Check, Finding
    from shared.services import Services

SIGNS = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "–"}


@click.command("doctor", short_help="Check everything that the app stands on, and say how to mend it.")
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Check settings, Entra, storage, keys, network and addresses, and say how to mend what is wrong.

    Writes and deletes one row and one blob, and has each issuer's key sign a text that is no certificate. Exit code 1
    if any check fails; warnings (!) do not count.
    """
    from shared.cli.checkup.checks import Mark

    found = _examine()
    data = [_plain(name, finding) for name, findings in found for finding in findings]
    emit(data, as_json, lambda: _table(found))
    marks = [finding.mark for _, findings in found for finding in findings]
    if not as_json:
        console.print(", ".join(f"{marks.count(mark)} {mark}" for mark in Mark if mark in marks), highlight=False)
    if Mark.FAILED in marks:
        context.exit(1)


def _examine() -> "list[tuple[str, Sequence[Finding]]]":
    from shared.cli.checkup.checks import failed, ok, run
    from shared.services import services

    try:
        everything = services()
    except InvalidSettings as invalid:
        remedy = "docs/settings.md says what it means."
        return [("settings", [failed(f"{name} {problem}", remedy) for name, problem in invalid.problems.items()])]
    checks = _checks(everything)
    where = "a laptop" if everything.settings.development else "Azure"
    found: list[tuple[str, Sequence[Finding]]] = [("settings", [ok(f"All settings are valid, for {where}.")])]
    with progress("Checking", len(checks)) as advance:
        for check, findings in run(checks):
            found.append((check.name, findings))
            advance(1)
    return found


def _checks(services: "Services") -> "list[Check]":
    from shared.cli.checkup import entra, machine, network, signing, storage
    from shared.cli.checkup.checks import Check
    from shared.context import system_clock

    hosts = network.hosts(services.settings)
    directory = ("storage: table",)
    return [
        *(Check(f"network: {name}", partial(network.connection, name, url)) for name, url in hosts.items()),
        Check("clock", partial(network.clocks, list(hosts.values()), system_clock)),
        Check("storage: table", partial(storage.table, services)),
        Check("storage: blobs", partial(storage.blobs, services)),
        Check("storage: log", partial(storage.log, services), directory),
        Check("Entra: sign-in", partial(entra.sign_in, services)),
        Check("Entra: permissions", partial(entra.permissions, services), ("Entra: sign-in",)),
        Check("Entra: token keys", partial(entra.token_keys, services)),
        Check("Entra: tenant sync", partial(entra.tenant_sync, services), directory),
        Check("CA: keys", partial(signing.issuers, services), directory),
        Check("CA: CRLs", partial(signing.crls, services), ("CA: keys",)),
        Check("CA: log anchors", partial(signing.anchors, services), directory),
        Check("CA: public addresses", partial(network.public_addresses, services), directory),
        Check("search index", partial(machine.replica_space, services), directory),
    ]


def _plain(name: str, finding: "Finding") -> dict[str, Any]:
    return {"check": name, "status": finding.mark.value, "detail": finding.detail, "remedy": finding.remedy}


def _table(found: "Sequence[tuple[str, Sequence[Finding]]]") -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, findings in found:
        for finding in findings:
            told = cell(finding.detail)
            if finding.remedy is not None:
                told.append(f"\n→ {printable(finding.remedy)}", style="bold")
            table.add_row(Text(SIGNS[finding.mark], style=state_style(finding.mark)), name, told)
    return table
