"""`manage.py token`: API tokens for callers without an Entra identity."""

from datetime import datetime, timedelta
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from shared.api.permissions import Permission
from shared.cli.console import emit, json_option, listing, operator_context
from shared.directory.records.api_token import ApiToken
from shared.directory.records.base import format_time

ABILITIES = ("*", *map(str, Permission))


@click.group("token", help="Create, list and revoke API tokens.")
def command() -> None:
    """The root of `manage.py token`."""


@command.command(short_help="Create a token and print it, this once.")
@click.option("--name", metavar="NAME", required=True, help="What it is for; shown in lists and in the audit log.")
@click.option(
    "--ability",
    "abilities",
    multiple=True,
    required=True,
    type=click.Choice(ABILITIES),
    help="What it may do; can be given several times.",
)
@click.option(
    "--days", metavar="DAYS", type=click.IntRange(1, 3650), default=90, show_default=True, help="Life in days."
)
@json_option
def create(name: str, abilities: tuple[str, ...], days: int, as_json: bool) -> None:
    """Create a token and print it: this is the only time that it can be seen."""
    from shared.services import services

    created = services().api_tokens.create(name, abilities, timedelta(days=days), operator_context())
    data = _shown(created.token) | {"token": created.plain_text}
    emit(data, as_json, lambda: f"{created.plain_text}\n\nKeep it now: it is not stored and cannot be shown again.")


@command.command("list")
@json_option
def list_tokens(as_json: bool) -> None:
    """List all tokens, without their secrets."""
    from shared.services import services

    api_tokens = services().api_tokens
    listed = [(token, api_tokens.last_used_at(token.id)) for token in api_tokens.list()]
    data = [_shown(token) | {"last_used_at": _time(used)} for token, used in listed]
    emit(data, as_json, lambda: _table(listed))


@command.command()
@click.argument("token_id", type=click.IntRange(1))
@json_option
def revoke(token_id: int, as_json: bool) -> None:
    """End a token for good."""
    from shared.services import services

    token = services().api_tokens.revoke(token_id, operator_context())
    emit(_shown(token), as_json, lambda: f"Token {token.id} ({escape(token.name)}) is revoked.")


def _shown(token: ApiToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "abilities": list(token.abilities),
        "created_at": _time(token.created_at),
        "created_by": token.created_by,
        "expires_at": _time(token.expires_at),
        "revoked_at": _time(token.revoked_at),
    }


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None


def _table(listed: list[tuple[ApiToken, datetime | None]]) -> Table:
    headings = ("Id", "Name", "Abilities", "Created (UTC)", "Expires", "Last used", "Revoked")
    rows = (
        (
            *(token.id, token.name, " ".join(token.abilities)),
            *(token.created_at, token.expires_at, used, token.revoked_at),
        )
        for token, used in listed
    )
    return listing(headings, rows)
