"""The functions host: takes HTTP requests to the functions whose routes they match, and fires timers."""

import logging
import re
import threading
from concurrent.futures import Future, wait
from datetime import timedelta
from typing import Any

from local.functions_host.functions import FunctionIndex, HttpFunction
from local.functions_host.http_server import HttpServer
from local.functions_host.invocation import Invoker, WireReply, WireRequest, http_reply, http_request
from local.functions_host.routes import decode_path
from local.functions_host.timers import TimerScheduler

log = logging.getLogger("functions_host")

HTTP_TIMEOUT = timedelta(seconds=230)
"""Azure's load balancer gives up on an HTTP function after this long; the function runs on
(https://learn.microsoft.com/azure/azure-functions/functions-scale#timeout)."""

STOP_TIMEOUT = timedelta(seconds=10)

ADMIN = "admin/functions/"
HOME_PAGE = b"Your Functions app is up and running"
_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})\b")


class FunctionsHost:
    """Serves an indexed app on 127.0.0.1 until `stop`.

    Args:
        prefix: the route prefix of host.json.
        port: 0 takes a free one; `url` says which.
        http_timeout: after this long a client gets a 502, whatever the function is still doing.
    """

    def __init__(
        self, index: FunctionIndex, prefix: str, port: int = 0, http_timeout: timedelta = HTTP_TIMEOUT
    ) -> None:
        self._index = index
        self._prefix = f"{prefix}/" if prefix else ""
        self._http_timeout = http_timeout
        self._invoker = Invoker()
        self._timers = {timer.name: TimerScheduler(timer, self._invoker) for timer in index.timers}
        self._server = HttpServer(self.answer, port)

    @property
    def url(self) -> str:
        return self._server.url

    def serve(self) -> None:
        """Serves until `stop` is called; requests that are being answered, and running timers, end first."""
        for timer in self._timers.values():
            timer.start()
        self._server.serve_forever(poll_interval=0.1)
        for timer in self._timers.values():
            timer.stop()
        self._server.server_close()
        self._server.wait_until_idle(STOP_TIMEOUT)
        self._invoker.stop()

    def stop(self) -> None:
        """Tells `serve` to end and does not wait for it: a signal handler may call it."""
        threading.Thread(target=self._server.shutdown, daemon=True).start()

    def answer(self, request: WireRequest) -> WireReply:
        path = decode_path(request.path).removeprefix("/")
        if not path:
            return WireReply(200, HOME_PAGE, (("Content-Type", "text/plain"),))
        if path.startswith(ADMIN):
            return self._administer(request, path.removeprefix(ADMIN))
        below = self._below_prefix(path)
        if below is not None:
            for function in self._index.http:
                if function.methods is None or request.method in function.methods:
                    parameters = function.route.match(below)
                    if parameters is not None:
                        return self._invoke(function, request, parameters)
        return WireReply(404)

    def _below_prefix(self, path: str) -> str | None:
        if f"{path}/".lower() == self._prefix.lower():
            return ""
        return path[len(self._prefix) :] if path.lower().startswith(self._prefix.lower()) else None

    def _invoke(self, function: HttpFunction, request: WireRequest, parameters: dict[str, str]) -> WireReply:
        """The function's reply; an empty 500 when it raised or returned what is none; 502 when it takes too long."""
        value = http_request(request, parameters)
        run = self._invoker.start(function.name, function.handler, function.argument, value)
        if not _ends_within(run, self._http_timeout):
            return WireReply(502)
        if run.exception() is not None:
            return WireReply(500)
        try:
            return http_reply(run.result())
        except (NotImplementedError, UnicodeError):
            log.exception("'Functions.%s' returned what cannot be sent as an HTTP reply", function.name)
            return WireReply(500)

    def _administer(self, request: WireRequest, name: str) -> WireReply:
        """`POST /admin/functions/{name}` fires a timer now: 202 at once, like the real host.

        With the header `Prefer: wait=SECONDS` (RFC 7240, 4.3) the answer comes after the run: 204, 500 when it
        raised, 202 when it takes longer.
        """
        timer = self._timers.get(name)
        if timer is None or request.method != "POST":
            return WireReply(404)
        run = timer.fire_now()
        preferred = _WAIT.search(request.headers.get("prefer", ""))
        if preferred is None or not _ends_within(run, timedelta(seconds=int(preferred[1]))):
            return WireReply(202)
        return WireReply(204 if run.exception() is None else 500)


def _ends_within(run: Future[Any], timeout: timedelta) -> bool:
    return bool(wait([run], timeout.total_seconds()).done)
