"""The address under which callers know this API: their own, or that of a front door with another name."""

from urllib.parse import urlsplit, urlunsplit


def public_url(url: str, base: str | None) -> str:
    """`url`, a request's, below `base`: scheme, host and perhaps a path before the request's own. None leaves it."""
    if base is None:
        return url
    parts, front = urlsplit(url), urlsplit(base)
    return urlunsplit((front.scheme, front.netloc, front.path + parts.path, parts.query, ""))
