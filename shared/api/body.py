"""Request bodies: size and type first, then strict JSON, then an object. Whatever is wrong is named by its position."""

import json
from typing import Any

from shared.errors import AppError

MAX_BODY_BYTES = 256 * 1024
MAX_DEPTH = 32  # the deepest request of this API has depth 2


class MalformedBody(AppError):
    status, code = 400, "malformed_body"


class BodyTooLarge(AppError):
    status, code = 413, "body_too_large"


class NotJson(AppError):
    status, code = 415, "unsupported_media_type"


def read_object(body: bytes, content_type: str) -> dict[str, Any]:
    """The JSON object of a request body (RFC 8259; duplicate members refused as I-JSON does, RFC 7493 2.3).

    Raises:
        BodyTooLarge, NotJson, MalformedBody.
    """
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body is {len(body)} bytes long; at most {MAX_BODY_BYTES} are allowed.")
    if not body:
        raise MalformedBody("The request has no body. Send a JSON object, with a Content-Length header.")
    _require_json(content_type)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body is not UTF-8: byte {error.start} cannot be decoded.") from None
    value = parse_strictly(text)
    if not isinstance(value, dict):
        raise MalformedBody("The body must be a JSON object, written in braces.")
    return value


def parse_strictly(text: str) -> Any:
    """Raises MalformedBody for anything but one JSON value without duplicate members, NaN or lone surrogates."""
    if text.startswith("\ufeff"):
        raise MalformedBody("The body starts with a byte order mark; send plain UTF-8.")
    _limit_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise MalformedBody(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except ValueError:
        raise MalformedBody("The body is not JSON: a number has too many digits.") from None
    try:
        text.encode("utf-8")
        if "\\" in text:  # only an escape can spell half a pair in UTF-8
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedBody("The body holds half of a surrogate pair, which is no Unicode character.") from None
    return value


def _require_json(content_type: str) -> None:
    media_type, _, parameters = content_type.lower().partition(";")
    media_type = media_type.strip()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise NotJson("Send the body as application/json.")
    for parameter in parameters.replace(" ", "").replace('"', "").split(";"):
        if parameter.startswith("charset=") and parameter != "charset=utf-8":
            raise NotJson("Send the body in UTF-8.")


def _limit_depth(text: str) -> None:
    """Cheap and safe: counts brackets, those within strings included, so it can only refuse too early by a little."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return None
    depth = 0
    for character in text:
        if character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return _limit_depth_outside_strings(text)
        elif character in "]}":
            depth -= 1
    return None


def _limit_depth_outside_strings(text: str) -> None:
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise MalformedBody(f"The body is nested more than {MAX_DEPTH} levels deep.")
        elif character in "]}":
            depth -= 1


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise MalformedBody(f"The member {json.dumps(twice[:80])} comes twice.")
    return members


def _refuse_constant(name: str) -> Any:
    raise MalformedBody(f"{name} is not JSON.")


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
