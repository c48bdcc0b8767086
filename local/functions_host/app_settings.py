"""local.settings.json: the laptop's stand-in for the app settings of the Function App.

https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file
"""

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_PORT = 7071


class InvalidSettingsFile(ValueError):
    """local.settings.json or host.json is not what the host can read; the message says where."""


@dataclass(frozen=True)
class LocalSettings:
    """`values` become environment variables; `port` is where the host listens unless told otherwise."""

    values: Mapping[str, str] = field(default_factory=dict)
    port: int = DEFAULT_PORT

    @classmethod
    def read(cls, path: Path) -> "LocalSettings":
        """Reads the file; an absent one is an empty one.

        Raises: InvalidSettingsFile when it is encrypted, not JSON, or holds other values than strings.
        """
        content = read_json_object(path)
        if content.get("IsEncrypted"):
            raise InvalidSettingsFile(f"{path} is encrypted: run `func settings decrypt` first.")
        values = content.get("Values", {})
        for name, value in values.items():
            if not isinstance(value, str):
                raise InvalidSettingsFile(f"{path}: the value of {name} must be a string.")
        return cls(values, int(content.get("Host", {}).get("LocalHttpPort", DEFAULT_PORT)))

    def apply(self, environment: MutableMapping[str, str]) -> None:
        """Adds the values to the environment; what is set there already wins, as with `func start`."""
        for name, value in self.values.items():
            environment.setdefault(name, value)


def route_prefix(host_json: Path) -> str:
    """The prefix of all HTTP routes (`extensions.http.routePrefix`), `api` unless host.json says otherwise."""
    http = read_json_object(host_json).get("extensions", {}).get("http", {})
    return str(http.get("routePrefix", "api")).strip("/")


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in the file; empty when there is no file.

    Raises: InvalidSettingsFile.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise InvalidSettingsFile(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidSettingsFile(f"{path} must hold a JSON object.")
    return content
