"""The header Idempotency-Key: the same key with the same body does the work once."""

import re

from shared.api.errors import MalformedIdempotencyKey

IDEMPOTENCY_KEY = re.compile(r"[!-+\--~]{1,255}")


def idempotency_key(header: str | None) -> str | None:
    """The header `Idempotency-Key` as it came. A comma is what the host puts between the values of two headers.

    Raises: MalformedIdempotencyKey.
    """
    if header is not None and not IDEMPOTENCY_KEY.fullmatch(header):
        raise MalformedIdempotencyKey(
            "The Idempotency-Key header must come once, with 1 to 255 visible ASCII characters and no comma."
        )
    return header
