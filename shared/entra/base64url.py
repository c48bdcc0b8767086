"""Base64url without padding, in its one canonical spelling (RFC 7515 2, RFC 4648 3.5)."""

import binascii

_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/\0\0\0")
"""`-` and `_` become what `binascii` knows; the standard alphabet's own characters become what it refuses."""
_PADDING = {0: b"", 2: b"==", 3: b"="}
_LAST = {0: None, 2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}
"""The last characters whose unused bits are zero; any other would be a second spelling of the same bytes."""


def decode(segment: bytes) -> bytes:
    """The bytes that the segment spells.

    Raises:
        ValueError: a character outside the alphabet, padding, white space, an impossible length, or unused bits set.
    """
    rest = len(segment) % 4
    if rest == 1:
        raise ValueError("not a base64url length")
    last = _LAST[rest]
    if last is not None and segment[-1] not in last:
        raise ValueError("not canonical base64url")
    return binascii.a2b_base64(segment.translate(_TO_STANDARD) + _PADDING[rest], strict_mode=True)
