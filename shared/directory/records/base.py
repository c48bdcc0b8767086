"""How a record becomes a flat row of plain values, and back.

A row maps property names to `str | int | bool | bytes`; an absent property stands for None. The canonical bytes of a
row are what the audit log hashes, so they depend on nothing but the row's content.
"""

import base64
import hashlib
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Self

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)

Value = str | int | bool | bytes
Row = Mapping[str, Value]


def packed_guids(**arguments: Any) -> Any:
    """A dataclass field of type `tuple[str, ...]` that holds GUIDs, stored as 16 bytes each."""
    return field(metadata={"packed": "guids"}, **arguments)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A frozen dataclass that is one row of the directory table.

    Field types: `str`, `int`, `bool`, `bytes`, `datetime` (UTC), `StrEnum`s, `tuple[str, ...]`, and each of them
    `| None`.

    Attributes:
        KIND: the part of the row key before the first `|`.
        REPLICATED: the fields that a log row repeats for the replica, so that it need not read the row itself.
        SEQUENCE: where keys are `KIND|<id, 10 digits>`, the sequence of `Transaction.next_id` that the ids are from.
    """

    KIND: ClassVar[str]
    REPLICATED: ClassVar[tuple[str, ...]] = ()
    SEQUENCE: ClassVar[str | None] = None

    @property
    def key(self) -> str:
        """The row key: `KIND|…`, without `/ \\ # ?` or control characters."""
        raise NotImplementedError  # pragma: no cover

    def to_row(self) -> dict[str, Value]:
        row: dict[str, Value] = {}
        for name, encode, _ in _codecs(type(self)):
            value = getattr(self, name)
            if value is not None:
                row[name] = encode(value)
        return row

    def replicated_row(self) -> dict[str, Value]:
        row = self.to_row()
        return {name: row[name] for name in self.REPLICATED if name in row}

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Raises KeyError or ValueError where the row is not one of this kind. Unknown properties are left out."""
        return cls(**{name: decode(row[name]) for name, _, decode in _codecs(cls) if name in row})


def canonical_bytes(row: Row) -> bytes:
    """The row as JSON with sorted names, no white space, UTF-8; bytes as `{"b64": "…"}`."""

    ordered = {name: to_plain(row[name]) for name in sorted(row)}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def to_plain(value: Value) -> Any:
    """The value as JSON has it."""
    return {"b64": base64.b64encode(value).decode("ascii")} if isinstance(value, bytes) else value


def from_plain(plain: Any) -> Value:
    """The inverse of `to_plain`. Raises ValueError, KeyError or TypeError where it is none of its results."""
    if isinstance(plain, dict):
        return base64.b64decode(plain["b64"], validate=True)
    if not isinstance(plain, str | int):
        raise TypeError(f"a value of type {type(plain).__name__}")
    return plain


def row_sha256(row: Row) -> str:
    """SHA-256 of the row's canonical bytes, in lower-case hex."""
    return hashlib.sha256(canonical_bytes(row)).hexdigest()


def format_time(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds and `Z`: fixed length, so that text order is time order."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """The inverse of `format_time`. Raises ValueError for any other format. (strptime takes ten times as long.)"""
    if not _TIME.fullmatch(text):
        raise ValueError(f"not a time as this app writes it: {text!r}")
    return datetime.fromisoformat(text)


def _pack_guids(guids: tuple[str, ...]) -> bytes:
    """As `UUID(guid).bytes` each, in a fifth of the time: a user has many groups. Raises ValueError."""
    packed = bytes.fromhex("".join(guids).replace("-", ""))
    if len(packed) != 16 * len(guids):
        raise ValueError("not a tuple of GUIDs")
    return packed


def _unpack_guids(packed: Any) -> tuple[str, ...]:
    if len(packed) % 16:
        raise ValueError("not packed GUIDs")
    digits = (packed[at : at + 16].hex() for at in range(0, len(packed), 16))
    return tuple(f"{each[:8]}-{each[8:12]}-{each[12:16]}-{each[16:20]}-{each[20:]}" for each in digits)


_Codec = tuple[str, Callable[[Any], Value], Callable[[Any], Any]]


_CODECS: dict[type[Record], tuple[_Codec, ...]] = {}


def _codecs(cls: type[Record]) -> tuple[_Codec, ...]:
    if cls not in _CODECS:
        hints = typing.get_type_hints(cls)
        _CODECS[cls] = tuple(_codec(f.name, hints[f.name], f.metadata.get("packed") == "guids") for f in fields(cls))
    return _CODECS[cls]


def _codec(name: str, hint: Any, packed: bool) -> _Codec:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = [part for part in typing.get_args(hint) if part is not type(None)]
    if packed:
        return name, _pack_guids, _unpack_guids
    if hint is datetime:
        return name, format_time, parse_time
    if typing.get_origin(hint) is tuple:
        return name, lambda items: json.dumps(items, ensure_ascii=False), lambda text: tuple(json.loads(text))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return name, str, hint
    if hint in (str, int, bool, bytes):
        return name, hint, _exactly(hint)
    raise TypeError(f"{name}: a record field cannot be of type {hint}")


def _exactly(expected: type) -> Callable[[Any], Any]:
    def decode(value: Any) -> Any:
        if type(value) is not expected:
            raise ValueError(f"expected {expected.__name__}, found {type(value).__name__}")
        return value

    return decode
