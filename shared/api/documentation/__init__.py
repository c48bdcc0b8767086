"""The documentation page: Swagger UI from the app's own files, so that it works without any other host.

`swagger-ui/` holds the parts of the npm package swagger-ui-dist that the page needs, compressed (`make swagger`).
"""

import hashlib
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from shared.api.errors import RouteNotFound
from shared.api.replies import File

FOLDER = Path(__file__).parent
ASSETS = {
    "swagger-ui.css": (FOLDER / "swagger-ui" / "swagger-ui.css.gz", "text/css"),
    "swagger-ui-bundle.js": (FOLDER / "swagger-ui" / "swagger-ui-bundle.js.gz", "text/javascript"),
    "start.js": (FOLDER / "start.js", "text/javascript"),
}
PAGE = FOLDER / "page.html"

# A token is entered on this page: nothing but the app's own files runs in it, and it talks to nobody else.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page(url: str) -> File:
    """The page for a request to `url`, to which its links are relative."""
    return _page("../" if urlsplit(url).path.endswith("/") else "")


@cache
def _page(up: str) -> File:
    content = PAGE.read_text(encoding="utf-8").replace("{up}", up).encode()
    headers = SECURITY_HEADERS | {"Content-Language": "en"}
    return File(content, "no-cache", _etag(content), headers=headers)


@cache
def asset(name: str) -> File:
    """One of the page's files. Raises RouteNotFound."""
    if name not in ASSETS:
        raise RouteNotFound(f"The documentation page has no file {name[:80]}.")
    path, media_type = ASSETS[name]
    content = path.read_bytes()
    return File(
        content,
        "public, max-age=3600",
        _etag(content),
        media_type=media_type,
        gzipped=path.suffix == ".gz",
        headers=SECURITY_HEADERS,
    )


def _etag(content: bytes) -> str:
    """Weak, for a compressed file is sent expanded, too."""
    return f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
