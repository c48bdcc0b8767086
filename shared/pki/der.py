"""The few DER encodings (X.690) that certificates need beyond what cryptography's builders make."""

_CONSTRUCTED = 0x20


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


def elements(encoded: bytes) -> list[bytes]:
    """The elements inside the first, constructed one, each with its header. Raises ValueError where they do not fit."""
    whole = element_length(encoded)
    at = 2 + (encoded[1] & 0x7F if encoded[1] & 0x80 else 0)
    found = []
    while at < whole:
        length = element_length(encoded[at:whole])
        found.append(encoded[at : at + length])
        at += length
    return found


def element_length(encoded: bytes) -> int:
    """Octets of the first element, header included. Raises ValueError where there is no whole one with a short tag."""
    if len(encoded) < 2 or encoded[0] & 0x1F == 0x1F:
        raise ValueError("no element")
    first = encoded[1]
    octets = first & 0x7F if first & 0x80 else 0
    if first == 0x80 or octets > 4 or len(encoded) < 2 + octets:
        raise ValueError("no definite length")
    length = int.from_bytes(encoded[2 : 2 + octets], "big") if octets else first
    total = 2 + octets + length
    if len(encoded) < total:
        raise ValueError("cut off")
    return total
