"""The HTTP transport under Azure's SDK with an end to everything: a read time-out alone lets a server drip for ever."""

import io
import time
from collections.abc import Mapping
from typing import Any

import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from shared.telemetry.calls import Peer, http_call

MAX_BODY = 1024 * 1024
"""Octets; the largest answer that we ask a key vault or Entra ID for has some thousand."""
PIECE = 64 * 1024


def bounded_transport(peer: Peer) -> RequestsTransport:
    """A transport with a session of its own, for one thread at a time. Trust follows REQUESTS_CA_BUNDLE."""
    session = requests.Session()
    session.mount("https://", _BoundedAdapter(peer))
    return RequestsTransport(session=session)


class OversizeAnswer(ValueError):
    """The body is larger than any that was asked for."""


class _BoundedAdapter(HTTPAdapter):
    """Reads the body at once, within the read time-out as a whole and up to MAX_BODY."""

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self._peer = peer

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002  (the body is always read here)
        timeout: Any = None,  # always (connect, read) from Azure's SDK
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        with http_call(self._peer, request.method or "", request.url or "") as call:
            response = super().send(request, True, timeout, verify, cert, proxies)
            call.answered(response.status_code)
            body = self._body(request, response, time.monotonic() + timeout[1])
        response.headers.pop("Content-Encoding", None)  # it has been unpacked, and the SDK would do it again
        response.raw = HTTPResponse(io.BytesIO(body), status=response.status_code, preload_content=False)
        return response

    def _body(self, request: requests.PreparedRequest, response: requests.Response, end: float) -> bytes:
        try:
            return _read(response.raw, end)
        except ReadTimeoutError as error:
            raise requests.ReadTimeout(error, request=request) from error
        except ProtocolError as error:
            raise requests.ConnectionError(error, request=request) from error
        except HTTPError as error:
            raise requests.RequestException(error, request=request) from error
        finally:
            response.close()  # gives the connection back after a whole body, ends it otherwise


def _read(raw: HTTPResponse, end: float) -> bytes:
    body = b""
    while piece := raw.read1(PIECE, decode_content=True):
        body += piece
        if len(body) > MAX_BODY:
            raise OversizeAnswer(f"an answer of more than {MAX_BODY} octets")
        if time.monotonic() > end:
            raise requests.ReadTimeout("the answer came too slowly")
    return body
