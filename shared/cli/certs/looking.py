"""`manage.py certs list`, `show`, `export` and `lint`: look at certificates and take them out as files."""

import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from shared.cli.card import card, emit_cards
from shared.cli.certificate_selection import CertificateId
from shared.cli.console import emit, error_console, iso, json_option, listing, operator_context, state
from shared.context import system_clock
from shared.directory.erasure import is_erased
from shared.directory.records.certificate import CertificateType
from shared.directory.replica.queries import CertificateQuery, EffectiveStatus, effective_status

if TYPE_CHECKING:
    from shared.cli.pkilint_report import Finding
    from shared.directory.records.certificate import Certificate
    from shared.directory.replica.queries import CertificateSummary
    from shared.pki.certificate_view import CertificateView


@click.command("list")
@click.option(
    "--user", "user_id", metavar="ID", type=click.IntRange(min=1), help="Only those of the user with this local id."
)
@click.option("--status", type=click.Choice([status.value for status in EffectiveStatus]), help="Only these.")
@click.option(
    "--type", "certificate_type", type=click.Choice([kind.value for kind in CertificateType]), help="Only these."
)
@click.option(
    "--expiring-within", type=click.IntRange(1, 3650), metavar="DAYS", help="Only active ones ending so soon."
)
@click.option("--page", metavar="N", type=click.IntRange(min=1), default=1, show_default=True, help="Which page.")
@click.option(
    "--per-page", metavar="N", type=click.IntRange(1, 1000), default=50, show_default=True, help="Its length."
)
@json_option
def list_(
    user_id: int | None,
    status: str | None,
    certificate_type: str | None,
    expiring_within: int | None,
    page: int,
    per_page: int,
    as_json: bool,
) -> None:
    """List certificates, by id."""
    from shared.services import services

    query = CertificateQuery(
        user_id=user_id,
        status=EffectiveStatus(status) if status else None,
        certificate_type=CertificateType(certificate_type) if certificate_type else None,
        expiring_within=timedelta(days=expiring_within) if expiring_within else None,
        page=page,
        per_page=per_page,
    )
    found = services().reader.certificates(query, operator_context().deadline)
    emit([_listed(item) for item in found.items], as_json, lambda: _table(found.items))
    if not as_json and found.total > len(found.items):
        error_console.print(f"Page {page}: {len(found.items)} of {found.total} certificates.")


@click.command()
@click.argument("certificate_id", type=CertificateId())
@json_option
def show(certificate_id: int, as_json: bool) -> None:
    """Show one certificate: its record, and what to enter in Entra for it."""
    view = _view(certificate_id)
    emit_cards(_details(view), as_json, lambda: [_card(view)])


@click.command()
@click.argument("certificate_id", type=CertificateId())
@click.option("--out", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="File [default: stdout].")
@click.option("--der", is_flag=True, help="DER instead of PEM.")
@click.option("--chain", is_flag=True, help="With the issuer's certificate and those above it (PEM).")
def export(certificate_id: int, out: Path | None, der: bool, chain: bool) -> None:
    """Write a certificate to a file. Its private key is not here."""
    if der and chain:
        raise click.UsageError("A chain is PEM: leave out --der or --chain.")
    view = _view(certificate_id)
    encoded = _encoded(view.certificate)
    content = encoded if der else _pem(encoded).encode()
    content += view.chain_pem.encode() if chain else b""
    if out is None:
        sys.stdout.buffer.write(content)
    else:
        out.write_bytes(content)


@click.command(short_help="Have a certificate checked by pkilint, an independent linter.")
@click.argument("certificate_id", type=CertificateId())
@json_option
def lint(certificate_id: int, as_json: bool) -> None:
    """Have a certificate checked by pkilint, an independent linter; exit code 1 if it finds an error."""
    try:
        findings = _lint(_view(certificate_id).certificate)
    except ImportError:
        raise click.ClickException("pkilint is not installed: pip install pkilint") from None
    emit([asdict(finding) for finding in findings], as_json, lambda: _findings_table(findings))
    if any(finding.is_error for finding in findings):
        sys.exit(1)


def _lint(certificate: "Certificate") -> "list[Finding]":
    from shared.cli.pkilint_report import closest_smime_level, pkix_findings, smime_findings

    encoded = _encoded(certificate)
    if certificate.certificate_type is CertificateType.EMAIL_PROTECTION:
        return pkix_findings(encoded) + smime_findings(encoded, closest_smime_level(encoded))
    return pkix_findings(encoded)


def _findings_table(findings: "list[Finding]") -> Table | str:
    if not findings:
        return "pkilint finds nothing."
    rows = ((finding.severity, finding.code, finding.message) for finding in findings)
    return listing(("Severity", "Code", "Message"), rows)


def _view(certificate_id: int) -> "CertificateView":
    from shared.services import services

    return services().certificate_views.view(certificate_id)


def _encoded(certificate: "Certificate") -> bytes:
    """The DER. Raises click.ClickException where there is none."""
    if is_erased(certificate):
        raise click.ClickException(f"The certificate {certificate.id} was erased: its user was purged.")
    if certificate.der is None:
        raise click.ClickException(f"The certificate {certificate.id} is {certificate.status}: it was not signed.")
    return certificate.der


def _pem(der: bytes) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode()


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is not there; bytes are left to `export`."""
    return {name: _text(value) for name, value in fields.items() if value is not None and not isinstance(value, bytes)}


def _text(value: Any) -> Any:
    return iso(value) if isinstance(value, datetime) else value


def _listed(item: "CertificateSummary") -> dict[str, Any]:
    fields = _plain(asdict(item))
    return {**fields, "status": fields.pop("effective_status")}


def _record(certificate: "Certificate") -> dict[str, Any]:
    return {**_plain(asdict(certificate)), "status": _status(certificate)}


def _status(certificate: "Certificate") -> EffectiveStatus:
    """What lists and the API say: active or expired, where the record says issued."""
    return effective_status(certificate.status, certificate.not_after, system_clock())


def _details(view: "CertificateView") -> dict[str, Any]:
    return {**_record(view.certificate), "entra_certificate_user_ids": dict(view.user_ids)}


def _table(items: "tuple[CertificateSummary, ...]") -> Table:
    headings = ("Id", "User", "Type", "Status", "Subject", "Serial number", "Not after (UTC)")
    return listing(headings, map(_row, items))


def _row(item: "CertificateSummary") -> tuple[object, ...]:
    reason = f" ({item.revocation_reason})" if item.revocation_reason else ""
    status = state(item.effective_status, reason)
    kind, ends = item.certificate_type, f"{item.not_after:%Y-%m-%d}"
    return item.id, item.user_id, kind, status, item.subject, item.serial_number, ends


def _card(view: "CertificateView") -> Text:
    rows = [(name.replace("_", " "), str(value)) for name, value in _record(view.certificate).items()]
    rows += [(f"for Entra: {form.replace('_', ' ')}", value) for form, value in view.user_ids.items()]
    return card(view.certificate.subject, rows)
