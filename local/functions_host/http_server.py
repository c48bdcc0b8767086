"""HTTP/1.1 with keep-alive, one thread a connection: what stands between a client and `Application`.

Built on the standard library and not on werkzeug's server, because that one closes every connection after a reply.
"""

import contextlib
import http.server
import logging
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import IO, Any, cast

from werkzeug.serving import DechunkedInput

from local.functions_host.invocation import WireReply, WireRequest

log = logging.getLogger("functions_host")

Application = Callable[[WireRequest], WireReply]

MAX_BODY = 100 * 1024 * 1024
"""FUNCTIONS_REQUEST_BODY_SIZE_LIMIT's default (https://learn.microsoft.com/azure/azure-functions/functions-app-settings)."""
IDLE_SECONDS = 120
BODILESS = (204, 304)


class HttpServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Serves `application` on 127.0.0.1; port 0 takes a free one."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512
    allow_reuse_address = True

    def __init__(self, application: Application, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Connection)
        self.application = application
        self._busy = 0
        self._idle = threading.Condition()

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Counts a request from its first byte to the last byte of its reply."""
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def wait_until_idle(self, timeout: timedelta) -> bool:
        """Whether all requests were answered within `timeout`."""
        with self._idle:
            return self._idle.wait_for(lambda: self._busy == 0, timeout.total_seconds())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own looks the host's name up, which can take seconds
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, *_: Any) -> None:
        log.debug("a connection broke", exc_info=True)


class _BadBody(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


class _Connection(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    server: HttpServer

    def _serve(self) -> None:
        with self.server.serving():
            self._answer()

    def _answer(self) -> None:
        try:
            body = self._body()
        except _BadBody as bad:
            self.close_connection = True
            self._write(WireReply(bad.status))
            return
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]},{value}" if key in headers else value
        self._write(self.server.application(WireRequest(self.command, self.path, headers, body)))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_TRACE = _serve  # noqa: N815

    def _body(self) -> bytes:
        """The body; a chunked one is read and lost, because the host looks at Content-Length only."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            self._drain()
            return b""
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            raise _BadBody(400)
        if int(length) > MAX_BODY:
            raise _BadBody(413)
        return self.rfile.read(int(length)) if int(length) else b""

    def _drain(self) -> None:
        stream, read = DechunkedInput(cast(IO[bytes], self.rfile)), 0
        try:
            while piece := stream.read(64 * 1024):
                read += len(piece)
                if read > MAX_BODY:
                    raise _BadBody(413)
        except OSError as error:
            raise _BadBody(400) from error

    def _write(self, reply: WireReply) -> None:
        phrase = self.responses.get(reply.status, ("", ""))[0]
        lines = [f"HTTP/1.1 {reply.status} {phrase}", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        bodiless = reply.status in BODILESS
        if not bodiless:
            lines.append(f"Content-Length: {len(reply.body)}")
        if self.close_connection:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
        self.connection.sendall(head if bodiless or self.command == "HEAD" else head + reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the host logs invocations, not connections."""
