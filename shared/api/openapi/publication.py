"""The description as it is sent: made at the first request for it, then kept."""

import gzip
import hashlib
from functools import lru_cache

from shared.api.openapi.document import SAME_ORIGIN, encoded
from shared.api.replies import File


@lru_cache(maxsize=1)
def published(public_url: str | None) -> File:
    """Args: public_url: where callers reach the API; None: at the host that they have the description from."""
    content = encoded(public_url or SAME_ORIGIN)
    etag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'  # weak: the same for the compressed form
    return File(gzip.compress(content, mtime=0), "public, max-age=300", etag, gzipped=True)
