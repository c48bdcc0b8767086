"""One HTTP exchange with Graph: only ever with the configured host, bounded in time and size, never redirected."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from shared.context import Deadline
from shared.entra.graph.errors import GraphReplyInvalid, GraphTimeout, GraphUnavailable, UntrustedLink
from shared.telemetry.calls import Peer, http_call

Json = dict[str, Any]
"""A JSON object as Graph sent it. It goes no further than the module that asked for it."""

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 20.0
LARGEST_REPLY = 64 * 1024 * 1024
"""Bytes after decompression: 999 users with some hundred proxy addresses each stay well below."""


class ConnectionFailed(Exception):
    """The exchange broke or took too long; whether Graph saw the request is unknown."""

    def __init__(self, reason: str, timed_out: bool) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply, still unparsed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        """The body as a JSON object, strictly: UTF-8, no duplicate members, no NaN. Raises GraphReplyInvalid."""
        return strict_object(self.body)


class GraphTransport:
    """Speaks HTTPS to one Graph endpoint. Shared by threads.

    Args:
        base_url: for example `https://graph.microsoft.com/v1.0`, without a trailing slash.
        session: for tests; anything it is configured with (proxies, trust) applies.
    """

    def __init__(self, base_url: str, session: requests.Session | None = None) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "https" or not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("the Graph base URL must be an https URL without credentials, query or fragment")
        self.base_url = base_url.rstrip("/")
        self._netloc = parts.netloc.lower()
        self._session = session or _new_session()

    def require_trusted(self, url: str) -> None:
        """Raises UntrustedLink unless the URL is https on exactly the configured host and port."""
        try:
            parts = urlsplit(url)
            trusted = parts.scheme == "https" and parts.netloc.lower() == self._netloc
        except ValueError:
            trusted = False
        if not trusted or any(ord(character) <= 32 or character in "\\\x7f" for character in url):
            raise UntrustedLink

    def exchange(
        self, method: str, url: str, token: str, headers: Mapping[str, str], body: bytes | None, deadline: Deadline
    ) -> Reply:
        """Sends one request, once.

        Raises: UntrustedLink before anything is sent; ConnectionFailed; GraphTimeout when no time is left;
        GraphUnavailable if the server's certificate is not trusted; GraphReplyInvalid if the reply is too large.
        """
        self.require_trusted(url)
        if deadline.expired:
            raise GraphTimeout
        timeout = (min(CONNECT_TIMEOUT, deadline.remaining), min(READ_TIMEOUT, max(deadline.remaining, 0.01)))
        prepared = self._session.prepare_request(
            requests.Request(method, url, headers=dict(headers), data=body, auth=_Bearer(token))
        )
        prepared.url = url  # as given: `requests` would rewrite percent-encodings of a page link
        settings = self._session.merge_environment_settings(url, {}, True, None, None)
        send = self._session.send
        try:
            with (
                http_call(Peer.GRAPH, method, url) as call,
                send(prepared, timeout=timeout, allow_redirects=False, **settings) as response,
            ):
                call.answered(response.status_code)
                return Reply(response.status_code, response.headers, _read(response, deadline))
        except requests.exceptions.SSLError as error:
            raise GraphUnavailable("its TLS certificate is not trusted here") from error
        except (requests.exceptions.Timeout, TimeoutError) as error:
            raise ConnectionFailed("no answer in time", timed_out=True) from error
        except (requests.exceptions.RequestException, HTTPError, OSError) as error:
            raise ConnectionFailed("the connection failed or broke", timed_out=False) from error


def strict_object(body: bytes) -> Json:
    """The body as a JSON object. Lone surrogates pass, other than in `strict_json`: one spoilt name must not cost the
    999 other users of its page. Raises GraphReplyInvalid."""
    try:
        parsed = json.loads(body.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise GraphReplyInvalid("it is not valid JSON") from error
    if not isinstance(parsed, dict):
        raise GraphReplyInvalid("it is not a JSON object")
    return parsed


def case_insensitive(headers: object) -> Mapping[str, str]:
    """The headers of a sub-reply of a batch, looked up without regard to case."""
    pairs = headers.items() if isinstance(headers, dict) else ()
    return CaseInsensitiveDict({str(name): str(value) for name, value in pairs})


def _new_session() -> requests.Session:
    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_connections=2, pool_maxsize=32, max_retries=0))
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # no state shared between threads
    return session


class _Bearer(AuthBase):
    """As an auth object, so that a `.netrc` entry for the host cannot replace the header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _read(response: requests.Response, deadline: Deadline) -> bytes:
    """The whole body; checks size and deadline with every piece, so that a dripping server cannot hold us."""
    pieces: list[bytes] = []
    size = 0
    while piece := response.raw.read1(256 * 1024, decode_content=True):
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST_REPLY:
            raise GraphReplyInvalid("it is larger than 64 MiB")
        if deadline.expired:
            raise GraphTimeout
    return b"".join(pieces)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate member")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
