"""The HTTPS server under the laptop's emulators: HTTP/1.1 with keep-alive, one thread a connection, and replies that
can be dropped, cut short, delayed or dripped on purpose.

Built on the standard library and not on werkzeug's server, because that one closes every connection after a reply.
"""

import http.server
import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

JSON = "application/json; charset=utf-8"
MAX_BODY = 256 * 1024 * 1024  # bulk loads of the control interface are the largest bodies
IDLE_SECONDS = 120.0


@dataclass(frozen=True)
class Request:
    """A request as it stood on the wire: the target is not decoded, header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the first question mark, still percent-encoded."""
        return self.target.partition("?")[2]


@dataclass(frozen=True)
class Wire:
    """What happens to a reply on its way out."""

    delay: float = 0.0  # seconds before the first byte
    drop: bool = False  # close the connection without a byte
    cut_at: float | None = None  # fraction of the body after which the connection is closed
    drip: float | None = None  # seconds between single bytes of the body


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON
    wire: Wire = Wire()

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> "Reply":
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        return cls(status, body, headers or {})


Application = Callable[[Request], Reply]


class HttpsServer:
    """Serves `application` on 127.0.0.1 over TLS until `stop`; port 0 takes a free one, `url` says which."""

    def __init__(self, application: Application, context: ssl.SSLContext, port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), application, context)
        self.url = f"https://127.0.0.1:{self._server.server_port}"

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.1)
        self._server.server_close()

    def stop(self) -> None:
        threading.Thread(target=self._server.shutdown, daemon=True).start()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], application: Application, context: ssl.SSLContext) -> None:
        super().__init__(address, _Handler)
        self.application = application
        self._context = context

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own looks the host's name up, which can take seconds
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake runs in the connection's thread: a client that stalls in it holds up nobody else."""
        request.settimeout(IDLE_SECONDS)
        try:
            connection = self._context.wrap_socket(request, server_side=True)
        except OSError:  # a client that does not trust us, or that went away
            return
        try:
            _Handler(connection, client_address, self)
        finally:
            connection.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up in the middle are everyday life of these servers; nothing else gets here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "EntraPkiLocal"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    server: _Server
    headers: Message

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY or self._is_chunked():
            self.close_connection = True
            self._write(Reply(400, b"bad Content-Length", content_type="text/plain"))
            return
        body = self.rfile.read(int(length)) if int(length) else b""
        headers = {name.lower(): value for name, value in self.headers.items()}
        target = self.requestline.split(" ")[1]
        self._write(self.server.application(Request(self.command, target, headers, body)))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815 (the base class's names)

    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _write(self, reply: Reply) -> None:
        wire = reply.wire
        if wire.delay:
            time.sleep(wire.delay)
        if wire.drop:
            self._hang_up()
            return
        head = self._head(reply)
        if wire.drip is not None:
            self._drip(head, reply.body, wire.drip)
        elif wire.cut_at is not None:
            self.connection.sendall(head + reply.body[: int(len(reply.body) * wire.cut_at)])
            self._hang_up()
        else:
            self.connection.sendall(head + (b"" if self.command == "HEAD" else reply.body))

    def _head(self, reply: Reply) -> bytes:
        phrase = self.responses.get(reply.status, ("", ""))[0]
        lines = [f"HTTP/1.1 {reply.status} {phrase}", f"Date: {self.date_time_string()}"]
        if reply.status != 204:
            lines += [f"Content-Type: {reply.content_type}", f"Content-Length: {len(reply.body)}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        if self.close_connection:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")

    def _drip(self, head: bytes, body: bytes, seconds: float) -> None:
        self.connection.sendall(head)
        for position in range(len(body)):
            time.sleep(seconds)
            self.connection.sendall(body[position : position + 1])

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the emulators count and list their requests themselves."""
