"""Structured log lines: one for each request, each run of a timer and each run of the tenant sync.

They hold identifiers and outcomes, never a body, a token, a name or an address; docs/observability.md lists the fields.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.telemetry.names import Event

Value = str | int | float | None
_BARE = re.compile(r"[\w.:/+-]+", re.ASCII)


class Format(StrEnum):
    """The values of LOG_FORMAT."""

    JSON = "json"
    TEXT = "text"


def chosen_format(environment: Mapping[str, str] = os.environ) -> Format:
    """LOG_FORMAT, or else text on a laptop and JSON in Azure. A wrong one gives JSON; `Settings.read` reports it."""
    named = environment.get("LOG_FORMAT", "").strip()
    if named in tuple(Format):
        return Format(named)
    development = environment.get("AZURE_FUNCTIONS_ENVIRONMENT", "").strip().lower() == "development"
    return Format.TEXT if development and not named else Format.JSON


@dataclass(frozen=True, slots=True)
class Line:
    """To be given to a logger as an argument: it becomes text only where it is really written."""

    event: Event
    fields: Mapping[str, Value]

    def __str__(self) -> str:
        told = {name: value for name, value in self.fields.items() if value is not None}
        if chosen_format() is Format.JSON:
            return json.dumps({"event": self.event, **told}, separators=(",", ":"))
        return " ".join((self.event, *(f"{name}={_shown(value)}" for name, value in told.items())))


def _shown(value: Value) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)
