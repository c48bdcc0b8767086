"""An HTTPS server that answers whatever a test wants: for answers that no service and no emulator gives."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local import tls
from local.https_server import HttpsServer, Reply, Request

Answer = Callable[[Request], Reply]


@dataclass
class OddServer:
    """`answer` decides each reply; `requests` are those that came. `root`: the certificate to trust."""

    url: str = ""
    root: Path = Path()
    answer: Answer = lambda _: Reply(404)
    requests: list[Request] = field(default_factory=list)

    def reply(self, request: Request) -> Reply:
        self.requests.append(request)
        return self.answer(request)


@contextmanager
def odd_server(folder: Path) -> Iterator[OddServer]:
    files = tls.ensure(folder / "tls")
    odd = OddServer(root=files.root)
    server = HttpsServer(odd.reply, files.server_context())
    odd.url = server.url
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield odd
    finally:
        server.stop()
        thread.join()
