"""A proxy before Azurite that does what networks and busy services do: loses, delays, repeats, cuts and fails."""

import http.client
import random
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Fault(Enum):
    NONE = auto()
    LOSE_REQUEST = auto()
    """The connection breaks before the service sees the request."""
    LOSE_REPLY = auto()
    """The service does it; the connection breaks before the answer arrives."""
    LATE = auto()
    """The connection breaks; the service sees the request a little later all the same."""
    SLOW = auto()
    """The answer takes its time."""
    REPEAT = auto()
    """The service sees the request twice; the second answer arrives."""
    ERROR_BEFORE = auto()
    """503, and the service never saw the request."""
    ERROR_AFTER = auto()
    """500, although the service did it."""
    CUT_REPLY = auto()
    """Half of the answer arrives."""


ALL_FAULTS = tuple(fault for fault in Fault if fault is not Fault.NONE)

Choose = Callable[[str, str], Fault]
"""Which fault befalls a request, by its method and path."""


def seeded(seed: int, share: float, faults: tuple[Fault, ...] = ALL_FAULTS) -> Choose:
    """Any of the faults, for a `share` of all requests."""
    source, lock = random.Random(seed), threading.Lock()

    def choose(method: str, path: str) -> Fault:
        with lock:
            return source.choice(faults) if source.random() < share else Fault.NONE

    return choose


def in_turn(faults: Sequence[Fault], method: str, ending: str) -> Choose:
    """The faults befall the first requests with that method and ending of the path, one each, and nothing else."""
    lock, left = threading.Lock(), list(faults)

    def choose(actual_method: str, path: str) -> Fault:
        with lock:
            return left.pop(0) if left and actual_method == method and path.endswith(ending) else Fault.NONE

    return choose


@dataclass
class FaultProxy:
    """Listens on a free port of 127.0.0.1 as long as it is entered."""

    target_port: int
    choose: Choose
    tls: ssl.SSLContext | None = None
    """With it, the proxy is reached by https."""
    delay: float = 0.15
    """Seconds of LATE and SLOW."""
    counts: dict[Fault, int] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of all requests so far."""
    authorizations: list[str] = field(default_factory=list)
    """What the requests proved themselves with."""
    bodies: list[bytes] = field(default_factory=list)
    _late: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.settle()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def connection_string(self, original: str) -> str:
        """Azurite's connection string with the table endpoint at the proxy."""
        return original.replace(f":{self.target_port}/", f":{self.port}/")

    def settle(self) -> None:
        """Waits until every late request has reached the service."""
        while self._late:
            self._late.pop().join()

    def count(self, method: str, ending: str) -> int:
        """How many requests there were with that method and ending of the path."""
        return sum(1 for seen, path in self.requests if seen == method and path.endswith(ending))

    def next_fault(self, method: str, path: str) -> Fault:
        fault = self.choose(method, path)
        with self._lock:
            self.requests.append((method, path))
            self.counts[fault] = self.counts.get(fault, 0) + 1
        return fault

    def later(self, send: Callable[[], object]) -> None:
        def run() -> None:
            time.sleep(self.delay)
            send()

        thread = threading.Thread(target=run)
        self._late.append(thread)
        thread.start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has left in anger is part of the play."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: FaultProxy

    def do_request(self) -> None:
        self.proxy.authorizations.append(self.headers.get("Authorization", ""))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.proxy.bodies.append(body)
        fault = self.proxy.next_fault(self.command, self.path)
        match fault:
            case Fault.LOSE_REQUEST:
                self.close_connection = True
            case Fault.LOSE_REPLY:
                self._forward(body)
                self.close_connection = True
            case Fault.LATE:
                self.proxy.later(lambda: self._forward(body))
                self.close_connection = True
            case Fault.ERROR_BEFORE:
                self._answer(503, [], b"")
            case Fault.ERROR_AFTER:
                self._forward(body)
                self._answer(500, [], b"")
            case Fault.CUT_REPLY:
                status, headers, content = self._forward(body)
                self._answer(status, headers, content, cut=True)
            case Fault.REPEAT:
                self._forward(body)
                self._answer(*self._forward(body))
            case Fault.SLOW:
                time.sleep(self.proxy.delay)
                self._answer(*self._forward(body))
            case _:
                self._answer(*self._forward(body))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_request  # noqa: N815  (http.server's names)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection("127.0.0.1", self.proxy.target_port, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        with closing(upstream):
            upstream.request(self.command, self.path, body or None, headers)
            reply = upstream.getresponse()
            return reply.status, reply.getheaders(), reply.read()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "keep-alive"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keeps the test's output clean."""
