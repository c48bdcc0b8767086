"""`manage.py certs`: look at certificates, issue, renew and revoke them, one or many."""

import click

from shared.cli.certs.issuing import issue
from shared.cli.certs.looking import export, lint, list_, show
from shared.cli.certs.notices import expiring, retry_notices
from shared.cli.certs.renewing import renew
from shared.cli.certs.taking_away import hold, release, revoke


@click.group()
def command() -> None:
    """List, show, issue, renew, export, revoke, hold and release certificates."""


for subcommand in (list_, show, export, lint, issue, renew, expiring, retry_notices, revoke, hold, release):
    command.add_command(subcommand)
