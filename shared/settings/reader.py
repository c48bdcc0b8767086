"""Reads settings one by one, remembers all that is wrong, and knows what a value of each kind looks like."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from shared.entra.clouds import GRAPH_AUDIENCES
from shared.errors import AppError

T = TypeVar("T")


class InvalidSettings(AppError):
    """One or several app settings are missing or wrong; the message lists all of them."""

    status, code = 503, "invalid_settings"

    def __init__(self, problems: Mapping[str, str]) -> None:
        lines = "".join(f"\n- {name}: {problem}" for name, problem in problems.items())
        super().__init__("The function app is not configured: its operator finds the settings to mend in the log.")
        self.problems = dict(problems)
        self.report = f"{len(problems)} app setting(s) must be mended:{lines}"


class Reader:
    """Reads one setting at a time and remembers what is wrong instead of stopping at the first problem."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: dict[str, str] = {}

    @cached_property
    def development(self) -> bool:
        return self._environment.get("AZURE_FUNCTIONS_ENVIRONMENT", "").strip().lower() == "development"

    def problem(self, name: str, sentence: str) -> None:
        self.problems.setdefault(name, sentence)

    def text(self, name: str) -> str | None:
        """The value without surrounding white space; None where unset or empty."""
        return self._environment.get(name, "").strip() or None

    def parsed(self, name: str, parse: Callable[[str], T], default: T, expected: str) -> T:
        value = self.text(name)
        if value is None:
            return default
        try:
            return parse(value)
        except (ValueError, KeyError):
            self.problem(name, f"must be {expected}.")
            return default

    def required(self, name: str, parse: Callable[[str], str], expected: str) -> str:
        if self.text(name) is None:
            self.problem(name, f"is required: {expected}.")
            return ""
        return self.parsed(name, parse, "", expected)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        def parse(value: str) -> int:
            if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
                raise ValueError
            return int(value)

        return self.parsed(name, parse, default, f"a whole number from {low} to {high}")

    def flag(self, name: str, default: bool = False) -> bool:
        words = {"true": True, "1": True, "false": False, "0": False}
        return self.parsed(name, lambda value: words[value.lower()], default, "true or false")

    def many(self, name: str, parse: Callable[[str], str], expected: str) -> tuple[str, ...]:
        def split(value: str) -> tuple[str, ...]:
            return tuple(dict.fromkeys(parse(part.strip()) for part in value.split(",") if part.strip()))

        return self.parsed(name, split, (), f"a comma-separated list of {expected}")

    def optional_path(self, name: str) -> Path | None:
        value = self.text(name)
        return Path(value) if value else None


def guid(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
        raise ValueError
    return str(UUID(value))


def https_url(value: str) -> str:
    """ASCII only: it goes into certificates and requests as it is. `.port` raises ValueError where it is none."""
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError
    if parts.port == 0 or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError
    return value.rstrip("/")


def web_url(value: str) -> str:
    """http is for the public PKI routes, which are fetched over it by design, and for emulators."""
    return https_url(value.replace("http://", "https://", 1)) and value.rstrip("/")


def audience(value: str) -> str:
    """Tokens for Microsoft Graph can be validated by nobody but Graph."""
    if value in GRAPH_AUDIENCES:
        raise ValueError
    return value


def domain(value: str) -> str:
    label = r"[0-9a-z]([0-9a-z-]{0,61}[0-9a-z])?"
    return pattern(rf"{label}(\.{label})+")(value.lower())


def words(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError
        return value

    return parse


def pattern(pattern: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError
        return value

    return parse


def oid(value: str) -> str:
    """An object identifier: at least two arcs, the second below 40 under 0 and 1 (X.660)."""
    pattern(r"[0-2](\.(0|[1-9][0-9]{0,19}))+")(value)
    first, second = map(int, value.split(".")[:2])
    if first < 2 and second >= 40:
        raise ValueError
    return value
