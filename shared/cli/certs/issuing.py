"""`manage.py certs issue`: certificates for the users that a file names."""

import re
from dataclasses import dataclass, replace
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
from shared.cli.bulk_file import Line, LineRefused, one_word, read_lines, whole_number
from shared.cli.certs.key_files import (
    KEY_TYPES,
    UNKNOWN_CSR,
    KeyFiles,
    deliver,
    key_option,
    out_folder,
    out_option,
    pkcs12_option,
)
from shared.cli.console import emit, json_option, operator_context
from shared.directory.records.certificate import CertificateType
from shared.directory.replica.queries import MAX_SEARCH_LENGTH, UserQuery
from shared.pki.keys import KeyType

if TYPE_CHECKING:
    from shared.pki.issuance.order import Order

COLUMNS = ("user_id", "user_principal_name", "certificate_type", "validity_days", "key_type", "csr")
TYPES = tuple(kind.value for kind in CertificateType)


@click.command()
@click.option(
    "--file",
    "file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"CSV with a header line: {', '.join(COLUMNS)}.",
)
@out_option
@click.option(
    "--type",
    "certificate_type",
    type=click.Choice(TYPES),
    default=TYPES[0],
    show_default=True,
    help="For lines that name none.",
)
@click.option("--days", metavar="DAYS", type=click.IntRange(1, 3650), help="Validity [default: the setting's].")
@key_option
@pkcs12_option
@results_option("FILE.results.jsonl")
@jobs_option
@dry_run_option
@json_option
def issue(file: Path, results: Path | None, jobs: int, dry_run: bool, as_json: bool, **wishes: Any) -> None:
    """Issue certificates to the users named in a CSV file.

    Each line names a user by user_id or user_principal_name; what else it leaves out is as the options say. `csr` is
    the path of a PEM file, from the CSV file's folder; without one a key is made here, and stays in --out.

    What is done is written to the results file. The same command again goes on where an earlier one ended, tries
    again what was refused, and issues nothing twice.
    """
    lines = read_lines(file, COLUMNS, one_of=("user_id", "user_principal_name"))
    desk = _desk(file.parent, dry_run=dry_run, **wishes)
    kept = results or file.with_name(f"{file.name}.results.jsonl")
    if dry_run:
        summary = work_through("Checking", lines, NoResults(), jobs, desk.check)
    else:
        with open_results(kept) as keeper:
            act = partial(_issue, desk, keeper)
            summary = work_through("Issuing", lines, keeper, jobs, act, desk.tidy)
    emit(summary.as_json(None if dry_run else kept), as_json, lambda: str(summary))
    finish(summary)


def _issue(desk: "_Desk", results: Results, line: Line) -> Outcome:
    return desk.issue(line, results.key(line))


@dataclass(frozen=True)
class _Desk:
    """What all lines have in common."""

    folder: Path
    out: Path
    certificate_type: str
    days: int
    key_type: str
    pkcs12: bool

    def issue(self, line: Line, idempotency_key: str) -> Outcome:
        from shared.services import services

        own, wanted = self._own_csr(line), self._order(line, UNKNOWN_CSR)
        services().issuance_policy.check_request(wanted.certificate_type, wanted.validity_days, has_csr=own is not None)
        return deliver(
            self._files(line),
            own,
            self._key_type(line),
            self.pkcs12,
            lambda csr: replace(wanted, csr=csr),
            lambda order: services().issuance.issue(order, operator_context(), idempotency_key=idempotency_key),
        )

    def check(self, line: Line) -> Outcome:
        """Raises what issuing would, as far as can be told without doing it."""
        from shared.services import services

        own, key_type = self._own_csr(line), self._key_type(line)
        services().issuance.check(self._order(line, own or UNKNOWN_CSR), None if own else key_type, operator_context())
        return {}

    def tidy(self, line: Line) -> None:
        if "csr" not in line.fields:
            self._files(line).tidy(pkcs12=self.pkcs12)

    def _order(self, line: Line, csr: str) -> "Order":
        from shared.pki.issuance.order import Order

        return Order(
            user_id=whole_number(line, "user_id") or user_id_of(line.fields["user_principal_name"]),
            certificate_type=CertificateType(one_word(line, "certificate_type", TYPES, self.certificate_type)),
            validity_days=whole_number(line, "validity_days") or self.days,
            csr=csr,
        )

    def _key_type(self, line: Line) -> KeyType:
        return KeyType(one_word(line, "key_type", KEY_TYPES, self.key_type))

    def _own_csr(self, line: Line) -> str | None:
        if "csr" not in line.fields:
            return None
        try:
            return (self.folder / line.fields["csr"]).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise LineRefused(f"{line.fields['csr']} cannot be read.") from error

    def _files(self, line: Line) -> KeyFiles:
        who = line.fields.get("user_principal_name") or f"user-{line.fields.get('user_id')}"
        return KeyFiles(self.out, f"{line.number:05d}-{re.sub(r'[^0-9A-Za-z@._-]', '_', who)[:100]}")


def _desk(
    folder: Path,
    *,
    dry_run: bool,
    out: Path | None,
    certificate_type: str,
    days: int | None,
    key_type: str | None,
    pkcs12: bool,
) -> _Desk:
    from shared.services import services

    services().replica.catch_up(operator_context().deadline)
    pki = services().settings.pki
    return _Desk(
        folder=folder,
        out=out_folder(out, dry_run=dry_run),
        certificate_type=certificate_type,
        days=days or pki.default_validity_days,
        key_type=key_type or f"RSA-{pki.default_key_size}",
        pkcs12=pkcs12,
    )


def user_id_of(name: str) -> int:
    """By user principal name. Raises LineRefused where nobody, or nobody who is still there, has it."""
    from shared.entra.user_principal_name import fold
    from shared.services import services

    wanted, page = fold(name), 1
    while True:
        found = services().replica.users(UserQuery(search=name[:MAX_SEARCH_LENGTH], page=page, per_page=100))
        for user in found.items:
            if user.deleted_at is None and fold(user.user_principal_name or "") == wanted:
                return user.id
        if page * found.per_page >= found.total:
            raise LineRefused(f"{name} is not known here: synchronize the user first.")
        page += 1
