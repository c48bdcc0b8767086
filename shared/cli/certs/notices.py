"""`manage.py certs expiring` and `retry-notices`: what is about to end, and who was told."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from shared.cli.console import emit, error_console, iso, json_option, listing, operator_context
from shared.context import system_clock
from shared.directory.replica.queries import CertificateSummary, ExpiringCertificates

if TYPE_CHECKING:
    from shared.pki.expiry.listing import ExpiringList


@click.command(short_help="List what ends soon and was not renewed.")
@click.option("--within", type=click.IntRange(1, 365), default=30, show_default=True, metavar="DAYS", help="How soon.")
@click.option("--page", metavar="N", type=click.IntRange(min=1), default=1, show_default=True, help="Which page.")
@click.option(
    "--per-page", metavar="N", type=click.IntRange(1, 1000), default=50, show_default=True, help="Its length."
)
@json_option
def expiring(within: int, page: int, per_page: int, as_json: bool) -> None:
    """List what ends soon and was not renewed, the next end first, with the notices about it."""
    from shared.services import services

    query = ExpiringCertificates(within=timedelta(days=within), page=page, per_page=per_page)
    found = services().expiry_listing.find(query, operator_context().deadline)
    emit([_listed(found, each) for each in found.page.items], as_json, lambda: _table(found))
    if not as_json and found.page.total > len(found.page.items):
        error_console.print(f"Page {page}: {len(found.page.items)} of {found.page.total} certificates.")


@click.command("retry-notices", short_help="Try expiry notices again that were given up.")
@json_option
def retry_notices(as_json: bool) -> None:
    """Let expiry notices that were given up be tried again, and a webhook that answered 410 be asked again."""
    from shared.services import services

    revived = services().expiry_notices.retry(operator_context())
    emit({"revived": revived}, as_json, lambda: f"{revived} to be tried again at the timer's next run")


def _listed(found: "ExpiringList", certificate: CertificateSummary) -> dict[str, Any]:
    user = found.users[certificate.user_id or 0]
    return {
        "id": certificate.id,
        "user_id": user.id,
        "user_principal_name": user.user_principal_name,
        "certificate_type": certificate.certificate_type,
        "subject": certificate.subject,
        "not_after": iso(certificate.not_after),
        "days_left": (certificate.not_after - system_clock()).days,
        "notice_days": certificate.notice_days,
        "notice": _notice(found, certificate),
    }


def _notice(found: "ExpiringList", certificate: CertificateSummary) -> str | None:
    """As the API says it: done, waiting or dead."""
    if certificate.notice_days is None:
        return None
    waiting = found.open_notices.get(certificate.id)
    return "done" if waiting is None else "dead" if waiting.dead else "waiting"


def _table(found: "ExpiringList") -> Table:
    headings = ("Id", "User", "Type", "Not after (UTC)", "Days left", "Notice")
    return listing(headings, (_row(found, each) for each in found.page.items))


def _row(found: "ExpiringList", each: CertificateSummary) -> tuple[object, ...]:
    told = _listed(found, each)
    notice = f"{told['notice_days']} days: {told['notice']}" if told["notice"] else None
    return each.id, told["user_principal_name"], each.certificate_type, each.not_after, told["days_left"], notice
