"""Reads a Graph URL the way its OData layer does: path segments, key forms and system query options.

Sources: https://learn.microsoft.com/graph/query-parameters and OData 4.01 URL conventions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus

from local.entra.graph.errors import GraphError, bad_request, not_emulated, request_bad_request

MAX_PAGE = 999
DEFAULT_PAGE = 100
OPTIONS = frozenset(
    {"$select", "$filter", "$top", "$count", "$skiptoken", "$deltatoken", "$expand", "$orderby", "$search", "$skip"}
)
KEY_IN_PARENTHESES = re.compile(r"(?s)(?P<collection>[A-Za-z]+)\((?P<key>.*)\)")
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class Options:
    """The system query options of one URL, decoded; `raw` keeps their order and spelling for links."""

    values: Mapping[str, str]
    raw: str

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    @property
    def select(self) -> tuple[str, ...] | None:
        value = self.get("$select")
        if value is None:
            return None
        return tuple(name.strip() for name in value.split(","))

    @property
    def top(self) -> int | None:
        value = self.get("$top")
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,9}", value):
            raise bad_request(f"Invalid value '{value}' for $top query option found.")
        if not 1 <= int(value) <= MAX_PAGE:
            raise request_bad_request(f"Invalid page size specified: '{value}'. Must be between 1 and 999 inclusive.")
        return int(value)

    @property
    def count(self) -> bool:
        return self.get("$count") == "true"

    def only(self, *allowed: str) -> None:
        """Raises for options that the resource does not take."""
        for name in self.values:
            if name == "$skip":
                raise request_bad_request("'$skip' is not supported by the service.")
            if name not in allowed:
                raise request_bad_request(f"'{name}' is not supported by the service.")


def split_target(target: str) -> tuple[list[str], Options]:
    """The decoded path segments and the options of a raw request target.

    Raises GraphError 400 for what cannot stand in a request line: a raw `#`, non-ASCII, a broken escape.
    """
    if "#" in target or not target.isascii() or not target.isprintable() or BAD_ESCAPE.search(target):
        raise GraphError(400, "BadRequest", "Bad Request - Invalid URL")
    path, _, query = target.partition("?")
    try:
        segments = [unquote(segment, errors="strict") for segment in path.strip("/").split("/")]
        return segments, _options(query)
    except UnicodeDecodeError:
        raise bad_request("The request URI is not valid.") from None


def _options(query: str) -> Options:
    values: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        name = unquote_plus(name, errors="strict")
        folded = name.lower()
        if folded not in OPTIONS:
            raise bad_request(f"The query parameter '{name}' is not supported.")
        if folded in values:
            raise bad_request(
                f"Query option '{name}' was specified more than once, but it must be specified at most once."
            )
        values[folded] = unquote_plus(value, errors="strict")
    count = values.get("$count", "true")
    if count not in ("true", "false"):
        raise bad_request(f"Invalid value '{count}' for $count query option found. Valid values are 'true', 'false'.")
    return Options(values, query)


def collection_and_key(segments: list[str]) -> tuple[str, str | None, list[str]]:
    """Splits `users/x/…` and `users('x')/…` into collection, key and the rest."""
    first, rest = segments[0], segments[1:]
    match = KEY_IN_PARENTHESES.fullmatch(first)
    if match:
        return match["collection"], _quoted(match["key"]), rest
    if not rest or rest[0] in ("$count", "delta", "delta()", "microsoft.graph.delta", "microsoft.graph.delta()"):
        return first, None, rest
    if rest[0].startswith("$"):  # https://learn.microsoft.com/graph/api/user-get, tip on UPNs that begin with $
        raise bad_request(f"Resource not found for the segment '{rest[0]}'.")
    return first, rest[0], rest[1:]


def _quoted(text: str) -> str:
    """The value of an OData string literal: apostrophes doubled inside (OData ABNF, `string`)."""
    inner = text[1:-1]
    if len(text) < 2 or text[0] != "'" or text[-1] != "'" or "'" in inner.replace("''", ""):
        raise bad_request(f"The key value '({text})' in the request URI is not valid: it is not a quoted string.")
    if not inner:
        raise bad_request("The key value in the request URI is empty.")
    return inner.replace("''", "'")


def refuse_unemulated(options: Options, *further: str) -> None:
    """Raises for options that Graph takes here and this emulator does not."""
    for name in ("$search", "$orderby", "$expand", *further):
        if options.get(name) is not None:
            raise not_emulated(f"{name} here")
