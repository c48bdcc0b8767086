"""What Schemathesis cannot know by itself: how an OCSP request goes on the wire."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/ocsp-request")
def ocsp_request(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
