"""`manage.py certs renew`: certificates in the place of others."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shared.cli.bulk import (
    NoResults,
    Outcome,
    Results,
    dry_run_option,
    finish,
    jobs_option,
    open_results,
    results_option,
    work_through,
)
from shared.cli.bulk_file import Line, read_lines, whole_number
from shared.cli.certificate_selection import CertificateId
from shared.cli.certs.key_files import UNKNOWN_CSR, KeyFiles, deliver, key_option, out_folder, out_option, pkcs12_option
from shared.cli.console import emit, json_option, operator_context
from shared.directory.records.certificate import Certificate, certificate_key
from shared.directory.replica.queries import ExpiringCertificates
from shared.pki.errors import CertificateNotFound
from shared.pki.keys import KeyType

if TYPE_CHECKING:
    from shared.pki.issuance.renewal import RenewalOrder

PAGE = 500


@click.command()
@click.argument("certificate_ids", nargs=-1, type=CertificateId(), metavar="[ID]...")
@click.option(
    "--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CSV with certificate_id."
)
@click.option("--expiring-within", type=click.IntRange(1, 365), metavar="DAYS", help="All that end so soon.")
@click.option(
    "--csr", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="For the holder's own key; one ID only."
)
@out_option
@click.option("--days", metavar="DAYS", type=click.IntRange(1, 3650), help="Validity [default: as the old one's].")
@key_option
@pkcs12_option
@results_option("renewals.jsonl in --out", of_what="one")
@jobs_option
@dry_run_option
@json_option
def renew(
    certificate_ids: tuple[int, ...],
    file: Path | None,
    expiring_within: int | None,
    csr: Path | None,
    out: Path | None,
    results: Path | None,
    jobs: int,
    dry_run: bool,
    as_json: bool,
    **wishes: Any,
) -> None:
    """Renew certificates by ID, from a file, or all that end soon.

    The new ones are of the same type for the same users, named as the directory does today; the old ones are revoked
    as superseded when the overlap ends. Run again, it goes on as `certs issue` does.
    """
    lines = _lines(certificate_ids, file, expiring_within)
    if csr is not None and len(lines) != 1:
        raise click.UsageError("--csr is one key's: name one ID.")
    folder = out_folder(out, dry_run=dry_run)
    desk = _Desk(folder, csr.read_text(encoding="ascii") if csr else None, **wishes)
    kept = results or folder / "renewals.jsonl"
    if dry_run:
        summary = work_through("Checking", lines, NoResults(), jobs, desk.check)
    else:
        with open_results(kept) as keeper:
            summary = work_through("Renewing", lines, keeper, jobs, partial(_renew, desk, keeper), desk.tidy)
    emit(summary.as_json(None if dry_run else kept), as_json, lambda: str(summary))
    finish(summary, "Line" if file else "Certificate")


def _lines(certificate_ids: tuple[int, ...], file: Path | None, expiring_within: int | None) -> list[Line]:
    """A line's number is the certificate's id, unless it is a file's: whatever ends soon by the next run."""
    if sum((bool(certificate_ids), file is not None, expiring_within is not None)) != 1:
        raise click.UsageError("Name certificates by ID, --file or --expiring-within: exactly one of these ways.")
    if file is not None:
        return read_lines(file, ("certificate_id",), one_of=("certificate_id",))
    numbers = certificate_ids or _expiring(timedelta(days=expiring_within or 0))
    return [Line(number, {"certificate_id": str(number)}) for number in dict.fromkeys(numbers)]


def _expiring(within: timedelta) -> tuple[int, ...]:
    from shared.services import services

    found: list[int] = []
    services().replica.catch_up(operator_context().deadline)
    while True:
        query = ExpiringCertificates(within=within, page=len(found) // PAGE + 1, per_page=PAGE)
        items = services().replica.expiring(query).items
        found += [each.id for each in items]
        if len(items) < PAGE:
            return tuple(found)


def _renew(desk: "_Desk", results: Results, line: Line) -> Outcome:
    return desk.renew(line, results.key(line))


@dataclass(frozen=True)
class _Desk:
    """What all lines have in common."""

    out: Path
    csr: str | None
    days: int | None
    key_type: str | None
    pkcs12: bool

    def renew(self, line: Line, idempotency_key: str) -> Outcome:
        from shared.services import services

        old, renewal = self._old(line), services().renewal
        wanted = renewal.order(old, self._wanted(old))
        services().issuance_policy.check_request(
            wanted.certificate_type, wanted.validity_days, has_csr=self.csr is not None
        )
        return deliver(
            self._files(line),
            self.csr,
            self._key_type(old),
            self.pkcs12,
            lambda csr: renewal.order(old, self._wanted(old, csr)),
            lambda order: services().issuance.issue(order, operator_context(), idempotency_key=idempotency_key),
        )

    def check(self, line: Line) -> Outcome:
        """Raises what renewing would, as far as can be told without doing it."""
        from shared.services import services

        old = self._old(line)
        order = services().renewal.order(old, self._wanted(old))
        services().issuance.check(order, None if self.csr else self._key_type(old), operator_context())
        return {}

    def tidy(self, line: Line) -> None:
        if self.csr is None:
            self._files(line).tidy(pkcs12=self.pkcs12)

    def _old(self, line: Line) -> Certificate:
        from shared.services import services

        number = whole_number(line, "certificate_id") or 0
        old = services().ledger.get(Certificate, certificate_key(number))
        if old is None:
            raise CertificateNotFound(number)
        return old

    def _wanted(self, old: Certificate, csr: str | None = None) -> "RenewalOrder":
        from shared.pki.issuance.renewal import RenewalOrder

        return RenewalOrder(certificate_id=old.id, validity_days=self.days, csr=csr or self.csr or UNKNOWN_CSR)

    def _key_type(self, old: Certificate) -> KeyType:
        """As the old key, unless the option says otherwise."""
        return KeyType(self.key_type or old.key_type)

    def _files(self, line: Line) -> KeyFiles:
        return KeyFiles(self.out, f"renews-{line.fields['certificate_id']}")
