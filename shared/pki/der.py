"""The few DER encodings (X.690) that certificates need beyond what cryptography's builders make."""

from collections.abc import Iterator
from datetime import UTC, datetime

_CONSTRUCTED = 0x20
_CONTEXT = 0x80


def tlv(tag: int, content: bytes) -> bytes:
    """One element with its definite length in the fewest octets (X.690 8.1.3, 10.1)."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def sequence(*elements: bytes) -> bytes:
    return tlv(0x10 | _CONSTRUCTED, b"".join(elements))


def utf8_string(text: str) -> bytes:
    return tlv(0x0C, text.encode())


def octet_string(content: bytes) -> bytes:
    return tlv(0x04, content)


def bit_string(content: bytes) -> bytes:
    """Whole octets, no unused bits."""
    return tlv(0x03, b"\x00" + content)


def object_identifier(dotted: str) -> bytes:
    """Base 128, the first two arcs in one (X.690 8.19)."""
    first, second, *others = map(int, dotted.split("."))
    content = bytearray()
    for arc in (40 * first + second, *others):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(0x80 | arc & 0x7F)
        content += bytes(reversed(octets))
    return tlv(0x06, bytes(content))


def integer(value: int) -> bytes:
    """Not negative."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def enumerated(value: int) -> bytes:
    """Of one octet, not negative."""
    return tlv(0x0A, bytes((value,)))


def explicit(number: int, content: bytes) -> bytes:
    """[number] EXPLICIT, for numbers below 31."""
    return tlv(_CONTEXT | _CONSTRUCTED | number, content)


def generalized_time(moment: datetime) -> bytes:
    """Whole seconds, UTC, `Z` (RFC 5280 4.1.2.5.2)."""
    return tlv(0x18, _digits(moment).encode() + b"Z")


def time(moment: datetime) -> bytes:
    """UTCTime through 2049, GeneralizedTime from 2050 on (RFC 5280 4.1.2.5)."""
    digits = _digits(moment)
    if digits >= "2050":
        return generalized_time(moment)
    return tlv(0x17, digits[2:].encode() + b"Z")


def _digits(moment: datetime) -> str:
    """Year, month, day, hour, minute, second; several times faster than strftime."""
    iso = moment.astimezone(UTC).isoformat()
    return iso[:4] + iso[5:7] + iso[8:10] + iso[11:13] + iso[14:16] + iso[17:19]


def elements(encoded: bytes) -> Iterator[bytes]:
    """The elements inside the first, constructed one, each with its header. Raises ValueError where they do not fit."""
    whole = element_length(encoded)
    at = header_length(encoded)
    while at < whole:
        end = at + element_length(encoded, at)
        if end > whole:
            raise ValueError("cut off")
        yield encoded[at:end]
        at = end


def header_length(encoded: bytes) -> int:
    """Octets of the first element before its content: tag and length, where `element_length` finds them in order."""
    return 2 + (encoded[1] & 0x7F if encoded[1] & 0x80 else 0)


def element_length(encoded: bytes, at: int = 0) -> int:
    """Octets of the element at `at`, with its header. Raises ValueError unless it is whole and has a short tag."""
    if len(encoded) < at + 2 or encoded[at] & 0x1F == 0x1F:
        raise ValueError("no element")
    first = encoded[at + 1]
    octets = first & 0x7F if first & 0x80 else 0
    if first == 0x80 or octets > 4 or len(encoded) < at + 2 + octets:
        raise ValueError("no definite length")
    length = int.from_bytes(encoded[at + 2 : at + 2 + octets], "big") if octets else first
    if len(encoded) < at + 2 + octets + length:
        raise ValueError("cut off")
    return 2 + octets + length
