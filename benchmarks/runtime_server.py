"""`python -m benchmarks.runtime_server ROOT`: the app of a folder over HTTP, in Microsoft's own worker library.

In Azure the host takes the requests and hands them to the worker's process over gRPC; here uvicorn takes them in that
process itself. An empty app pays the same for it. Prints one JSON line with the URL when it is ready.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from benchmarks import peers
from local.emulator_process import announce
from tests.support.microsoft_worker import Runtime, WorkerFunction, http_trigger, invocation_of, taker

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

BACKLOG = 512


class Application:
    """ASGI (https://asgi.readthedocs.io/en/latest/specs/www.html) in front of the worker library."""

    def __init__(self, runtime: Runtime, functions: Mapping[str, WorkerFunction]) -> None:
        self._runtime = runtime
        self._route = lru_cache(partial(taker, functions))

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        body = bytearray()
        more = True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        path, method = scope["raw_path"].decode(), scope["method"]
        function, parameters = self._route(method, path)
        query = scope["query_string"].decode()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        target = f"{path}?{query}" if query else path
        protos = self._runtime.protos
        trigger = http_trigger(protos, method, target, headers, parameters, bytes(body))
        response = await self._runtime.invoke(invocation_of(protos, function, trigger))
        http = response.return_value.http
        content = http.body.bytes or http.body.string.encode()
        reply_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in http.headers.items()]
        reply_headers.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": int(http.status_code or 500), "headers": reply_headers})
        await send({"type": "http.response.body", "body": content})


async def serve(root: Path) -> None:
    peers.make_importable()
    import uvicorn

    runtime = await Runtime.start(root)
    metadata = await runtime.index()
    functions = {found.name: WorkerFunction.of(found) for found in metadata.function_metadata_results}
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, asyncio sets TCP_NODELAY
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        Application(runtime, functions),
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        backlog=BACKLOG,
    )
    announce({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"})
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).resolve()))
