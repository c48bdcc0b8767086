"""Which certificates a command is about: by id, by serial number, of a user, of an issuer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from shared.cli.console import operator_context
from shared.directory.replica.queries import CertificateQuery, EffectiveStatus


class CertificateId(click.IntRange):
    """A local id, as `certs list` shows it."""

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(
                f"{value!r} is not a certificate's id: those are whole numbers, as `certs list` shows.", param, ctx
            )


F = TypeVar("F", bound=Callable[..., Any])
PAGE = 500


@dataclass(frozen=True)
class Selection:
    """Exactly one of them is set."""

    certificate_ids: Sequence[int] = ()
    serial_number: str | None = None
    user_id: int | None = None
    issuer_id: str | None = None

    def find(self, *statuses: EffectiveStatus) -> list[int]:
        """The ids; of a user or an issuer only those that have one of these statuses.

        Raises: click.UsageError if nothing or several things were named, click.ClickException if nothing is found.
        """
        named = [bool(self.certificate_ids), self.serial_number, self.user_id, self.issuer_id]
        if sum(map(bool, named)) != 1:
            raise click.UsageError("Name certificates by ID, --serial, --user or --issuer: exactly one of these ways.")
        if self.certificate_ids:
            return list(self.certificate_ids)
        wanted: tuple[EffectiveStatus | None, ...] = statuses if self.serial_number is None else (None,)
        found = sorted(number for status in wanted for number in self._by_query(status))
        if not found:
            raise click.ClickException("There is no such certificate.")
        return found

    def _by_query(self, status: EffectiveStatus | None) -> list[int]:
        from shared.services import services

        serial_number = self.serial_number.replace(":", "").lower() if self.serial_number else None
        found: list[int] = []
        page = 1
        while True:
            query = CertificateQuery(
                user_id=self.user_id,
                issuer_id=self.issuer_id,
                serial_number=serial_number,
                status=status,
                page=page,
                per_page=PAGE,
            )
            items = services().reader.certificates(query, operator_context().deadline).items
            found.extend(item.id for item in items)
            if len(items) < PAGE:
                return found
            page += 1


def selection_options(function: F) -> F:
    """IDs as arguments, or one of --serial, --user, --issuer."""
    for option in (
        click.option("--issuer", "issuer_id", metavar="ISSUER", help="All live ones of this issuer (its id)."),
        click.option(
            "--user", "user_id", metavar="ID", type=click.IntRange(min=1), help="All live ones of this user (local id)."
        ),
        click.option(
            "--serial", "serial_number", metavar="HEX", help="By serial number in hex, with or without colons."
        ),
        click.argument("certificate_ids", nargs=-1, type=CertificateId(), metavar="[ID]..."),
    ):
        function = option(function)
    return function
