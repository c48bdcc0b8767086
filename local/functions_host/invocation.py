"""Runs functions in the worker's thread pool, and translates between HTTP and what functions take and return.

The translation goes through azure-functions' own converters, so that a reply loses here what it loses in Azure.
"""

import inspect
import logging
import os
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import azure.functions as func
from azure.functions.http import HttpRequest, HttpResponseConverter

log = logging.getLogger("functions_host")

CONTEXT = "context"
DEFAULT_THREADS = 1000
"""The real host's default (https://learn.microsoft.com/azure/azure-functions/python-scale-performance-reference)."""


@dataclass(frozen=True)
class WireRequest:
    """A request as it came in: the target and the headers are not decoded; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


@dataclass(frozen=True)
class WireReply:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True)
class TraceContext:
    """This host has no trace of its own."""

    trace_parent: str = ""
    trace_state: str = ""


@dataclass(frozen=True)
class InvocationContext:
    """What the worker gives to a handler that has a parameter `context` (azure.functions.Context)."""

    invocation_id: str
    function_name: str
    function_directory: str
    trace_context: TraceContext = TraceContext()


class Invoker:
    """The worker's pool of PYTHON_THREADPOOL_THREAD_COUNT threads, shared by all functions."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        threads = int(environment.get("PYTHON_THREADPOOL_THREAD_COUNT", DEFAULT_THREADS))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="function")

    def start(self, name: str, handler: Callable[..., Any], argument: str, value: Any) -> Future[Any]:
        """Queues an invocation; the future gives what the handler returns or raises, which is logged here."""

        def run() -> Any:
            invocation_id = uuid.uuid4()
            log.info("Executing 'Functions.%s' (Id=%s)", name, invocation_id)
            arguments = {argument: value}
            if CONTEXT in inspect.signature(handler).parameters:
                arguments[CONTEXT] = InvocationContext(str(invocation_id), name, str(Path.cwd()))
            try:
                result = handler(**arguments)
            except Exception:
                log.exception("Executed 'Functions.%s' (Failed, Id=%s)", name, invocation_id)
                raise
            log.info("Executed 'Functions.%s' (Succeeded, Id=%s)", name, invocation_id)
            return result

        return self._pool.submit(run)

    def stop(self) -> None:
        """Waits for the running invocations; queued ones do not start any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def http_request(request: WireRequest, route_params: Mapping[str, str]) -> func.HttpRequest:
    """The trigger's value: empty query parameters are gone, repeated ones are joined with commas, the URL is raw."""
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        values.setdefault(name, []).append(value)
    joined = {name: ",".join(given) for name, given in values.items()}
    return HttpRequest(
        method=request.method,
        url=f"http://{request.headers.get('host', 'localhost')}{request.target}",
        headers=dict(request.headers),
        params={name: value for name, value in joined.items() if value},
        route_params=dict(route_params),
        body_type="bytes",
        body=request.body,
    )


def http_reply(result: Any) -> WireReply:
    """What the host sends for a function's result: of repeated headers only the last.

    Raises: NotImplementedError for what is no HTTP result, such as None; UnicodeError for a header beyond ASCII.
    """
    datum = HttpResponseConverter.encode(result, expected_type=None)
    if datum.type == "string":
        return WireReply(200, datum.value.encode(), (("Content-Type", "text/plain; charset=utf-8"),))
    headers: dict[str, tuple[str, str]] = {}
    for name, value in datum.value["headers"].items():
        name.encode("ascii"), value.value.encode("ascii")
        headers[name.lower()] = (name, value.value)
    headers.pop("content-length", None)
    cookies = [("Set-Cookie", morsel.OutputString()) for jar in datum.value["cookies"] or () for morsel in jar.values()]
    status = int(datum.value["status_code"].value)
    return WireReply(status, datum.value["body"].value, (*headers.values(), *cookies))
