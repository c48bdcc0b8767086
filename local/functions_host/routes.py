"""Route templates of HTTP triggers: `v1/users/{user:int}`, `{issuer}.crt`, `{*path}`.

https://learn.microsoft.com/aspnet/core/fundamentals/routing#route-templates
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

CONSTRAINTS: Mapping[str, str] = {
    "int": r"-?\d{1,10}",
    "long": r"-?\d{1,19}",
    "guid": r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}",
    "alpha": r"[A-Za-z]*",
    "bool": r"(?i:true|false)",
}
_PARAMETER = re.compile(r"\{(?P<all>\*{0,2})(?P<name>\w+)(?::(?P<constraint>\w+))?(?P<optional>\?)?\}")
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


class InvalidTemplate(ValueError):
    """A route template that this host cannot read."""


@dataclass(frozen=True)
class RouteTemplate:
    """A template below the app's route prefix; literals match without regard to case."""

    text: str
    _pattern: re.Pattern[str] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> "RouteTemplate":
        """Raises: InvalidTemplate."""
        pattern, position = "", 0
        for parameter in _PARAMETER.finditer(text):
            pattern = _append(pattern + _literal(text[position : parameter.start()], text), parameter, text)
            position = parameter.end()
        pattern += _literal(text[position:], text)
        return cls(text, re.compile(pattern + "/?", re.IGNORECASE | re.DOTALL))

    def match(self, path: str) -> dict[str, str] | None:
        """The route parameters if `path` (decoded, without leading slash and prefix) fits, else None."""
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        return {name: value for name, value in found.groupdict().items() if value}


def _literal(text: str, template: str) -> str:
    if "{" in text or "}" in text:
        raise InvalidTemplate(f"The route template {template!r} is not one that this host can read.")
    return re.escape(text)


def _append(before: str, parameter: re.Match[str], template: str) -> str:
    """The pattern so far, with a parameter; an optional one takes the slash before it along when it is absent."""
    name, constraint = parameter["name"], parameter["constraint"]
    if constraint is not None and constraint not in CONSTRAINTS:
        raise InvalidTemplate(f"The route template {template!r} has the constraint {constraint}, unknown to this host.")
    value = ".*" if parameter["all"] else CONSTRAINTS.get(constraint, "[^/]+")
    group = f"(?P<{name}>{value})"
    if not (parameter["optional"] or parameter["all"]):
        return before + group
    return f"{before[:-1]}(?:/{group})?" if before.endswith("/") else f"{before}{group}?"


def decode_path(path: str) -> str:
    """A percent-encoded path decoded as the host's web server does it: everything but the slash."""
    return unquote(_ENCODED_SLASH.sub("%252F", path), errors="replace")
