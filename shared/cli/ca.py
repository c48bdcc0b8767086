"""`manage.py ca`: the life of the CA's own keys and certificates."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shared.cli.card import card, emit_cards
from shared.cli.console import error_console, json_option, operator_context
from shared.cli.reconcile import reconcile
from shared.context import system_clock
from shared.pki.keys import KeyType

if TYPE_CHECKING:
    from rich.text import Text

    from shared.directory.records.issuer import Issuer
    from shared.pki.authority.ceremony import Ceremony
    from shared.pki.authority.issuer_certificate import IssuerPlan
    from shared.pki.authority.issuer_report import IssuerReport

FETCH_TIMEOUT = timedelta(seconds=10)

_name = click.option("--name", "common_name", metavar="NAME", required=True, help="Common name of the new issuer.")
_organization = click.option("--organization", metavar="NAME", help="Organization in its name.")
_country = click.option("--country", metavar="CC", help="Country in its name, two letters.")
_key_type = click.option(
    "--key-type",
    type=click.Choice([key_type.value for key_type in KeyType], case_sensitive=False),
    default=KeyType.RSA_3072.value,
    show_default=True,
    help="P-256 and P-384 sign 4 to 8 times as fast in Key Vault; RSA is understood everywhere.",
)
_years = click.option(
    "--years",
    metavar="YEARS",
    type=click.IntRange(1, 40),
    default=20,
    show_default=True,
    help="Life, if it is self-signed.",
)
_csr = click.option(
    "--csr",
    "request_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Do not self-sign: write a request for another CA into this file; `ca import` brings its answer back.",
)


@click.group()
def command() -> None:
    """Create, show and renew the certificate authority."""


@command.command(short_help="Make the first issuer.")
@_name
@_organization
@_country
@_key_type
@_years
@_csr
@json_option
def init(
    common_name: str,
    organization: str | None,
    country: str | None,
    key_type: str,
    years: int,
    request_file: Path | None,
    as_json: bool,
) -> None:
    """Make the first issuer: self-signed and active, or a request for another CA."""
    plan = _plan(common_name, organization, country, key_type, years)
    if request_file is not None:
        _request(plan, request_file, as_json)
    else:
        _show([_ceremony().initialize(plan, operator_context())], as_json)


@command.command(short_help="First step of a renewal: make the next issuer.")
@_name
@_organization
@_country
@_key_type
@_years
@_csr
@json_option
def rollover(
    common_name: str,
    organization: str | None,
    country: str | None,
    key_type: str,
    years: int,
    request_file: Path | None,
    as_json: bool,
) -> None:
    """First step of a renewal: make the next issuer and publish it, so that everybody can trust it before it issues.

    `ca activate` is the second step.
    """
    plan = _plan(common_name, organization, country, key_type, years)
    if request_file is not None:
        _request(plan, request_file, as_json)
    else:
        _show([_ceremony().roll_over(plan, operator_context())], as_json)


@command.command("import", short_help="Bring back the certificate that another CA made.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--skip-crl-check", is_flag=True, help="Import although the CRLs above cannot be fetched from here.")
@json_option
def import_(file: Path, skip_crl_check: bool, as_json: bool) -> None:
    """Bring back the certificate that another CA made for our request: PEM, with the chain up to the root."""
    from shared.pki.crl.reachability import crl_problems
    from shared.pki.errors import CeremonyRefused

    ceremony = _ceremony()
    pem = file.read_bytes()
    if not skip_crl_check:
        problems = crl_problems(ceremony.chain_of(pem), _fetch, system_clock())
        if problems:
            raise CeremonyRefused(
                " ".join(problems) + " Entra refuses sign-ins when a CRL cannot be fetched; mend it, or import with "
                "--skip-crl-check."
            )
    _show([ceremony.import_certificate(pem, operator_context())], as_json)


@command.command(short_help="Second step of a renewal: let the next issuer issue.")
@click.argument("issuer_id")
@json_option
def activate(issuer_id: str, as_json: bool) -> None:
    """Second step of a renewal: let a published issuer issue from now on; the one before it is retired."""
    _show([_ceremony().activate(issuer_id, operator_context())], as_json)


@command.command()
@click.option("--pem", is_flag=True, help="Print the certificates instead, issuer first, root last.")
@json_option
def show(pem: bool, as_json: bool) -> None:
    """Show all issuers, and what to enter about them in Entra."""
    from shared.directory.records.issuer import Issuer
    from shared.services import services

    if pem:
        click.echo("".join(issuer.chain_pem for issuer in services().authority.issuers()), nl=False)
        return
    issuers = sorted(services().ledger.scan(Issuer), key=lambda issuer: issuer.created_at)
    if not issuers and not as_json:
        error_console.print("There is no issuer yet: run `manage.py ca init --name …`.")
    _show(issuers, as_json)


command.add_command(reconcile)


def _ceremony() -> "Ceremony":
    from shared.pki.authority.ceremony import Ceremony
    from shared.services import services

    return Ceremony(services().ledger, services().authority)


def _plan(common_name: str, organization: str | None, country: str | None, key_type: str, years: int) -> "IssuerPlan":
    from shared.pki.authority.issuer_certificate import IssuerPlan

    return IssuerPlan(
        common_name=common_name,
        organization=organization,
        country=country,
        key_type=KeyType(key_type.upper()),
        life=timedelta(days=years * 365.25),
    )


def _request(plan: "IssuerPlan", file: Path, as_json: bool) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    _require_writable(file)
    issuer = _ceremony().request(plan, operator_context())
    request = x509.load_der_x509_csr(issuer.request or b"")
    file.write_bytes(request.public_bytes(serialization.Encoding.PEM))
    error_console.print(f"The request is in {file}: have it signed, then run `manage.py ca import`.")
    _show([issuer], as_json)


def _require_writable(file: Path) -> None:
    """Before anything is recorded. Leaves nothing behind. Raises OSError."""
    existed = file.exists()
    with file.open("ab"):
        pass
    if not existed:
        file.unlink()


def _fetch(url: str) -> bytes:
    import requests

    response = requests.get(url, timeout=FETCH_TIMEOUT.total_seconds())
    response.raise_for_status()
    return response.content


def _show(issuers: "list[Issuer]", as_json: bool) -> None:
    from shared.pki.authority.issuer_report import issuer_report
    from shared.services import services

    now = system_clock()
    reports = [issuer_report(issuer, services().settings.pki.public_url, now) for issuer in issuers]
    emit_cards([asdict(report) for report in reports], as_json, lambda: map(_card, reports))


def _card(report: "IssuerReport") -> "Text":
    life = None
    if report.not_before and report.not_after:
        life = f"{report.not_before:%Y-%m-%d} to {report.not_after:%Y-%m-%d}"
    return card(
        f"{report.subject}  ({report.status})",
        (
            ("Issuer id", report.id),
            ("Key", f"{report.key_type}, {report.backend}, {report.key_reference}"),
            ("Valid", life),
            ("Longest certificate", f"{report.longest_validity_days} days" if life else None),
            ("Signed by", report.signed_by or ("itself" if life else None)),
            ("Thumbprint, SHA-1", report.thumbprint_sha1),
            ("Thumbprint, SHA-256", report.thumbprint_sha256),
            ("For Entra: key identifier", report.subject_key_identifier),
            ("For Entra: CRL URL", report.crl_url or ("set PKI_PUBLIC_URL" if life else None)),
            ("CA certificate URL", report.ca_certificate_url),
            ("OCSP URL", report.ocsp_url),
        ),
    )
