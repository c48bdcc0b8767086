"""How a row of plain values is written as a Table Storage entity, and read back without loss.

Integers are always Edm.Int64. Text and bytes longer than a property may be are cut into chunks: `name`, `name__1`,
`name__2`, ... The canonical bytes of a record do not depend on any of this.
Limits: https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#property-limitations
"""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.directory.errors import MalformedRow, UnstorableValue
from shared.directory.records.base import Row, Value

Entity = Mapping[str, Any]
"""The JSON object of an entity as it is on the wire, `odata=minimalmetadata`."""

STRING_CHUNK = 32 * 1024
"""UTF-16 code units: a string property holds up to 64 KiB of UTF-16."""
BINARY_CHUNK = 64 * 1024
MAX_PROPERTIES = 252
"""An entity has up to 255 properties, three of which are the keys and the timestamp."""
MAX_ROW_BYTES = 900 * 1024
"""An entity may be 1 MiB in all; the rest is a margin for names, keys and how the service counts."""
MAX_JSON_BYTES = 1024 * 1024 - 1024
"""Azurite counts an entity's JSON against the same limit."""

_PROPERTY_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""snake_case without a double underscore, which is left for the chunks."""
_CHUNK_NAME = re.compile(r"(?P<name>.+?)__(?P<number>[1-9][0-9]*)")
_ROW_KEY = re.compile(r"[ !\"$&-.0->@-\[\]-~]{1,512}")
"""Printable ASCII without what the service refuses (slash, backslash, `#`, `?`) and `%`, trouble in URLs; to 1 KiB."""
_SYSTEM = frozenset({"PartitionKey", "RowKey", "Timestamp", "Timestamp@odata.type"})
_INT64 = range(-(2**63), 2**63)


def check_key(key: str) -> None:
    """Raises ValueError where Table Storage could not hold the key."""
    if not _ROW_KEY.fullmatch(key):
        raise ValueError(f"not a row key: {key!r}")


def encode_row(row: Row) -> dict[str, Any]:
    """The entity's properties, without its keys.

    Raises: UnstorableValue.
    """
    entity: dict[str, Any] = {}
    for name, value in row.items():
        if not _PROPERTY_NAME.fullmatch(name):
            raise ValueError(f"not a property name: {name!r}")
        for number, chunk in enumerate(_chunks(name, value)):
            _encode_property(entity, f"{name}__{number}" if number else name, chunk)
    return entity


def decode_row(entity: Entity) -> dict[str, Value]:
    """The row that `encode_row` was given.

    Raises: MalformedRow for anything that `encode_row` does not write: another type, a missing chunk, a foreign name.
    """
    key = str(entity.get("RowKey"))
    row: dict[str, Value] = {}
    chunked: list[str] = []
    for name, wire in entity.items():
        if "@" in name or name in _SYSTEM or name.startswith("odata."):
            continue
        edm_type = entity.get(f"{name}@odata.type")
        row[name] = wire if edm_type is None and type(wire) is str else _decode_property(key, name, wire, edm_type)
        if "__" in name:
            chunked.append(name)
    return _joined(key, row, chunked) if chunked else row


def checked_row(entity: Entity) -> dict[str, Value]:
    """As `decode_row`, but also raises MalformedRow where the same row would be written in another way."""
    row = decode_row(entity)
    wire = {name: value for name, value in entity.items() if name not in _SYSTEM and not name.startswith("odata.")}
    try:
        same = encode_row(row) == wire
    except (ValueError, UnstorableValue) as error:
        raise MalformedRow(str(entity["RowKey"]), str(error)) from error
    if not same:
        raise MalformedRow(str(entity["RowKey"]), "its properties are not written as this app writes them")
    return row


def stored_size(key: str, row: Row) -> int:
    """Bytes that the service counts for the entity, against its limit of 1 MiB.

    Source: https://learn.microsoft.com/archive/blogs/windowsazurestorage/understanding-windows-azure-storage-billing-bandwidth-transactions-and-capacity
    (4 + 2 per character of the keys; per property 8 + 2 per character of the name + the value).
    """
    return 4 + 2 * (len(key) + 36) + sum(8 + 2 * len(name) + value_size(value) for name, value in row.items())


def property_count(row: Row) -> int:
    """How many properties the row takes once chunked."""
    return sum(-(-max(value_size(value), 1) // BINARY_CHUNK) for value in row.values())


def value_size(value: Value) -> int:
    """Bytes that the service counts for the value."""
    match value:
        case bool():
            return 1
        case int():
            return 8
        case bytes():
            return 4 + len(value)
        case str():
            return 4 + (2 * len(value) if value.isascii() else len(value.encode("utf-16-le", "surrogatepass")))


def _chunks(name: str, value: Value) -> Iterator[Value]:
    if isinstance(value, bytes) and len(value) > BINARY_CHUNK:
        yield from (value[at : at + BINARY_CHUNK] for at in range(0, len(value), BINARY_CHUNK))
    elif isinstance(value, str):
        yield from _text_chunks(name, value)
    elif isinstance(value, int) and value not in _INT64:
        raise UnstorableValue(f"{name}: the integer does not fit into 64 bits.")
    else:
        yield value


def _text_chunks(name: str, text: str) -> Iterator[str]:
    if "\0" in text:
        raise UnstorableValue(f"{name}: the text contains NUL.")
    if text.isascii():
        yield from (text[at : at + STRING_CHUNK] for at in range(0, len(text) or 1, STRING_CHUNK))
        return
    try:
        units = text.encode("utf-16-le")
    except UnicodeEncodeError as error:
        raise UnstorableValue(f"{name}: the text contains a lone surrogate, which is no character.") from error
    at = 0
    while at < len(units):
        end = at + 2 * STRING_CHUNK
        if end < len(units) and 0xDC <= units[end + 1] <= 0xDF:  # the next unit is the second half of a pair
            end -= 2
        yield units[at:end].decode("utf-16-le")
        at = end


def _encode_property(entity: dict[str, Any], name: str, value: Value) -> None:
    match value:
        case bool() | str():
            entity[name] = value
        case int():
            entity[f"{name}@odata.type"] = "Edm.Int64"
            entity[name] = str(value)
        case bytes():
            entity[f"{name}@odata.type"] = "Edm.Binary"
            entity[name] = base64.b64encode(value).decode("ascii")


def _decode_property(key: str, name: str, wire: Any, edm_type: str | None) -> Value:
    try:
        match edm_type, wire:
            case "Edm.String", str():
                return str(wire)
            case None | "Edm.Boolean", bool():
                return bool(wire)
            case "Edm.Int64", str():
                return int(wire)
            case "Edm.Binary", str():
                return base64.b64decode(wire, validate=True)
    except ValueError as error:
        raise MalformedRow(key, f"{name} is not of its type {edm_type}") from error
    raise MalformedRow(key, f"{name} is of type {edm_type or type(wire).__name__}, which this app does not write")


def _joined(key: str, row: dict[str, Value], chunked: list[str]) -> dict[str, Value]:
    parts: dict[str, dict[int, Value]] = {}
    for name in chunked:
        match = _CHUNK_NAME.fullmatch(name)
        if not match:
            raise MalformedRow(key, f"{name} is not a property of this app")
        parts.setdefault(match["name"], {})[int(match["number"])] = row.pop(name)
    for name, numbered in parts.items():
        first = row.get(name)
        ordered = [first, *(numbered.get(number) for number in range(1, len(numbered) + 1))]
        if all(isinstance(part, str) for part in ordered):
            row[name] = "".join(str(part) for part in ordered)
        elif all(isinstance(part, bytes) for part in ordered):
            row[name] = b"".join(part for part in ordered if isinstance(part, bytes))
        else:
            raise MalformedRow(key, f"a chunk of {name} is missing or of another type")
    return row
