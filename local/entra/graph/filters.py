"""`$filter` over users and groups: parsed, bounded and refused as the directory does it.

Sources: https://learn.microsoft.com/graph/filter-query-parameter (15 values in `in`), .../aad-advanced-queries.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from local.entra.directory import Entry
from local.entra.graph.errors import bad_request, request_bad_request, unsupported_query
from local.entra.properties import EntityType

MAX_CLAUSES = 15
MAX_ADVANCED_LENGTH = 2048
TOKEN = re.compile(r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<word>[A-Za-z_][\w./]*)|(?P<mark>[(),]))")
MALFORMED = re.compile(r"[\x00-\x20<>\"\\\x7f]")
BOOLEANS = {"true": True, "false": False, "null": None}

Predicate = Callable[[Entry], bool]


@dataclass(frozen=True)
class Filter:
    """A parsed filter. `keys` are the ids or UPNs it pins down, if it does: then no scan is needed."""

    matches: Predicate
    keys: tuple[str, ...] | None = None


def parse_filter(text: str, entity: EntityType, *, advanced: bool) -> Filter:
    """Raises GraphError 400 for syntax, unknown or unfilterable properties, malformed values and too many clauses."""
    parser = _Parser(text, entity, advanced)
    found = parser.expression()
    parser.end()
    limit = MAX_ADVANCED_LENGTH if advanced else MAX_CLAUSES
    if (len(text) if advanced else parser.clauses) > limit:
        raise unsupported_query(
            "Too many child clauses specified in search filter expression containing 'OR' operators: "
            f"{parser.clauses}. Max allowed: {MAX_CLAUSES}."
        )
    return found


class _Parser:
    def __init__(self, text: str, entity: EntityType, advanced: bool) -> None:
        self._text, self._entity, self._advanced = text, entity, advanced
        self._tokens = list(self._scan(text))
        self._at = 0
        self.clauses = 0

    def _scan(self, text: str) -> Iterator[str]:
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = TOKEN.match(stripped, position)
            if match is None:
                raise self._syntax(position)
            position = match.end()
            yield match[0].strip()

    def expression(self) -> Filter:
        parts = [self._conjunction()]
        while self._take("or"):
            parts.append(self._conjunction())
        if len(parts) == 1:
            return parts[0]
        keys = None if any(part.keys is None for part in parts) else tuple(k for part in parts for k in part.keys or ())
        return Filter(lambda entry: any(part.matches(entry) for part in parts), keys)

    def _conjunction(self) -> Filter:
        parts = [self._factor()]
        while self._take("and"):
            parts.append(self._factor())
        if len(parts) == 1:
            return parts[0]
        keys = next((part.keys for part in parts if part.keys is not None), None)
        return Filter(lambda entry: all(part.matches(entry) for part in parts), keys)

    def _factor(self) -> Filter:
        if self._take("("):
            inner = self.expression()
            self._expect(")")
            return inner
        if self._take("not"):
            self._needs_advanced()
            inner = self._factor()
            return Filter(lambda entry: not inner.matches(entry))
        word = self._next()
        if word.lower() in ("startswith", "endswith") and self._take("("):
            return self._text_function(word.lower())
        return self._comparison(self._property(word))

    def _text_function(self, function: str) -> Filter:
        if function == "endswith":
            self._needs_advanced()
        name = self._property(self._next())
        self._expect(",")
        wanted = str(self._literal(name)).casefold()
        self._expect(")")
        self.clauses += 1
        test = str.startswith if function == "startswith" else str.endswith
        return Filter(lambda entry: test(str(entry.value(name) or "").casefold(), wanted))

    def _comparison(self, name: str) -> Filter:
        operator = self._next()
        if operator == "in":
            self._expect("(")
            values = [self._literal(name)]
            while self._take(","):
                values.append(self._literal(name))
            self._expect(")")
        elif operator in ("eq", "ne"):
            values = [self._literal(name)]
        else:
            raise self._syntax(self._at)
        self.clauses += len(values)
        wanted = {_folded(value) for value in values}
        if operator == "ne":
            self._needs_advanced()
            return Filter(lambda entry: _folded(entry.value(name)) not in wanted)
        keys = tuple(str(value) for value in values) if name in ("id", "userPrincipalName") else None
        return Filter(lambda entry: _folded(entry.value(name)) in wanted, keys)

    def _property(self, name: str) -> str:
        if name not in self._entity.properties:
            raise bad_request(
                f"Invalid filter clause: Could not find a property named '{name}' "
                f"on type 'microsoft.graph.{self._entity.name}'."
            )
        if name not in self._entity.filterable:
            raise unsupported_query(
                f"Unsupported or invalid query filter clause specified for property '{name}' "
                f"of resource '{self._entity.name.capitalize()}'."
            )
        return name

    def _literal(self, name: str) -> Any:
        token = self._next()
        if token in BOOLEANS:
            return BOOLEANS[token]
        if not token.startswith("'"):
            raise self._syntax(self._at)
        value = token[1:-1].replace("''", "'")
        if self._malformed(name, value):
            raise request_bad_request(
                f"Invalid value specified for property '{name}' of resource '{self._entity.name.capitalize()}'."
            )
        return value

    @staticmethod
    def _malformed(name: str, value: str) -> bool:
        """A GUID that is none, or a UPN that no user could have, fails the whole filter."""
        if name == "id":
            try:
                return str(uuid.UUID(value)) != value.lower()
            except ValueError:
                return True
        if name == "userPrincipalName":
            return not value or MALFORMED.search(value) is not None or value.count("@") > 1 or len(value) > 1024
        return False

    def _needs_advanced(self) -> None:
        if not self._advanced:
            raise unsupported_query("Unsupported Query.")

    def _take(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise self._syntax(self._at)
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._syntax(self._at)

    def end(self) -> None:
        if self._at != len(self._tokens):
            raise self._syntax(self._at)

    def _syntax(self, position: int) -> Exception:
        return bad_request(f"Invalid filter clause: Syntax error at position {position} in '{self._text}'.")


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
