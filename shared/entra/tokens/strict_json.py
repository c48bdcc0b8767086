"""JSON as RFC 8259 and I-JSON (RFC 7493) mean it, with no room for two readers to see different things.

Python's own parser takes the last of duplicate members, NaN, numbers of any length and lone surrogates; this one
refuses them.
"""

import json
import math
from typing import Any

_WHITE_SPACE = " \t\r\n"  # RFC 8259 2


class NotStrictJson(ValueError):
    """The bytes are not one strict JSON object."""


def parse_object(data: bytes) -> dict[str, Any]:
    """The object that the bytes are.

    Raises:
        NotStrictJson: not UTF-8, a byte order mark, not an object, duplicate members (also after unescaping and in
            nested objects), NaN or infinities, integers too long for Python (4,300 digits), lone surrogates, too
            deep, or trailing bytes.
    """
    try:
        text = data.decode("utf-8").lstrip(_WHITE_SPACE)
        value, end = _DECODER.raw_decode(text)
        if end != len(text) and text[end:].strip(_WHITE_SPACE):
            raise NotStrictJson("trailing bytes")
        if "\\" in text:  # only an escape can make a surrogate
            _refuse_lone_surrogates(value)
    except (ValueError, RecursionError) as error:
        raise NotStrictJson(type(error).__name__) from None
    if type(value) is not dict:
        raise NotStrictJson("not an object")
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("number too large")
    return number


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refuse_lone_surrogates(value: Any) -> None:
    """Raises UnicodeEncodeError, a ValueError, where a string cannot be written as UTF-8."""
    json.dumps(value, ensure_ascii=False).encode("utf-8")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_members, parse_float=_finite, parse_constant=_constant)
