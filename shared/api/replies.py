"""What handlers return, and the HTTP responses made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus

import azure.functions as func
from pydantic import BaseModel

from shared.api.conditional import http_date, is_unchanged
from shared.api.routes import JSON_TYPE, Route


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that is more than a model with the route's status."""

    content: BaseModel
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """A reply that is there already as bytes: a certificate, a CRL, a page.

    Attributes:
        etag: with its quotes; conditional requests get a 304 where nothing has changed.
        media_type: where it is another than the route's.
        gzipped: `content` is compressed; a caller that cannot take that gets it expanded.
        headers: further ones.
    """

    content: bytes
    cache_control: str
    etag: str | None = None
    last_modified: datetime | None = None
    media_type: str | None = None
    gzipped: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


Result = BaseModel | Reply | File


def response_of(result: Result, route: Route, request_id: str, asked: Mapping[str, str]) -> func.HttpResponse:
    """The response to a request with the headers `asked` (lower-case names)."""
    if isinstance(result, File):
        return _file_response(result, route, request_id, asked)
    reply = result if isinstance(result, Reply) else Reply(result, route.status)
    headers = {"X-Request-Id": request_id, "Cache-Control": "no-store", **reply.headers}
    return func.HttpResponse(
        reply.content.model_dump_json(), status_code=reply.status, mimetype=JSON_TYPE, charset="utf-8", headers=headers
    )


def _file_response(file: File, route: Route, request_id: str, asked: Mapping[str, str]) -> func.HttpResponse:
    headers = {"X-Request-Id": request_id, "Cache-Control": file.cache_control, **file.headers}
    if file.gzipped:
        headers["Vary"] = "Accept-Encoding"
    if file.etag is not None:
        headers["ETag"] = file.etag
        if file.last_modified is not None:
            headers["Last-Modified"] = http_date(file.last_modified)
        known = asked.get("if-none-match"), asked.get("if-modified-since")
        if is_unchanged(*known, file.etag, file.last_modified):
            return func.HttpResponse(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    content = file.content
    if file.gzipped and accepts_gzip(asked.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
    elif file.gzipped:
        content = _expanded(content)
    media_type = file.media_type or route.reply_type
    return func.HttpResponse(content, status_code=route.status, mimetype=media_type, headers=headers)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a request's Accept-Encoding names gzip without refusing it by `q=0` (RFC 9110 12.5.3)."""
    for item in accept_encoding.lower().split(","):
        coding, _, weight = (part.strip() for part in item.partition(";"))
        if coding == "gzip":
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False


def _expanded(content: bytes) -> bytes:
    import gzip  # rarely needed

    return gzip.decompress(content)
