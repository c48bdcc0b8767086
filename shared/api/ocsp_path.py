"""OCSP requests in the path of a GET (RFC 6960 appendix A.1): base64, URL-encoded."""

import base64
import binascii
import re
from urllib.parse import unquote, urlsplit

_REQUEST = re.compile(r"/ocsp/(.+)", re.DOTALL | re.IGNORECASE)


def request_in(url: str) -> bytes:
    """The DER in the URL's path; empty where there is none, which is no OCSP request either.

    Taken from the raw URL, because hosts decode `%2F` in a path or not. Clients that encode nothing, or leave the
    padding out, are understood.
    """
    found = _REQUEST.search(urlsplit(url).path)
    encoded = unquote(found[1]) if found else ""
    encoded = encoded.replace(" ", "+").rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
