"""The app inside Microsoft's own worker library, azure-functions-runtime, in a child process.

The parent plays the Functions host: it picks the function whose route matches and sends an invocation; the child
indexes and invokes through Microsoft's code alone. The two exchange protobuf messages as lines of JSON.
"""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import IO, Any, Self
from urllib.parse import parse_qsl, urlsplit

import azure_functions_runtime as runtime  # type: ignore[import-untyped]
from google.protobuf import json_format

from local.functions_host.routes import RouteTemplate, decode_path
from local.processes import REPOSITORY, ChildProcess
from tests.support.worker_protocol import protocol

MARK = "worker: "  # what tells a message from whatever the app prints
ROUTE_PREFIX = "/api/"


@dataclass(frozen=True)
class WorkerFunction:
    """A function as Microsoft's library indexed it."""

    name: str
    id: str
    argument: str
    trigger: Mapping[str, Any]
    """The trigger's binding as in function.json: type, route, methods, schedule, ..."""

    @classmethod
    def of(cls, metadata: Any) -> Self:
        """`metadata`: an RpcFunctionMetadata."""
        bindings = [json.loads(binding) for binding in metadata.raw_bindings]
        trigger = next(binding for binding in bindings if binding["type"].endswith("Trigger"))
        return cls(metadata.name, metadata.function_id, trigger["name"], trigger)

    def takes(self, method: str, path: str) -> dict[str, str] | None:
        """The route parameters if this function takes the request, else None."""
        if self.trigger["type"] != "httpTrigger" or method not in self.trigger.get("methods", [method]):
            return None
        return RouteTemplate.parse(self.trigger["route"]).match(path)


@dataclass(frozen=True)
class WorkerReply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class InvocationFailed(Exception):
    """The library says that the function failed; the message is its exception and stack trace."""


class MicrosoftWorker:
    """A running worker with the app of `root`; `functions` are what it indexed, by name.

    Args:
        packages: a folder with all packages that the app can import; None means those of this environment.

    Raises: ChildFailed when the library cannot index the app.
    """

    def __init__(self, environment: Mapping[str, str], root: Path = REPOSITORY, packages: Path | None = None) -> None:
        self._protos = protocol()
        command = [sys.executable, "-m", "tests.support.microsoft_worker", str(root)]
        if packages is not None:
            command.insert(1, "-S")  # without this environment's packages
            environment = {**environment, "PYTHONPATH": str(packages)}
        self._process = ChildProcess("Microsoft's worker", command, environment=environment)
        try:
            metadata = self._receive(self._protos.FunctionMetadataResponse())
        except BaseException:
            self._process.stop()
            raise
        self.functions = {found.name: WorkerFunction.of(found) for found in metadata.function_metadata_results}

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        host_trace: str = "",
    ) -> WorkerReply:
        """Sends an HTTP request to the first function, in the order of names, whose route takes it.

        `host_trace`: the traceparent of the host's own span.
        """
        function, parameters = taker(self.functions, method, urlsplit(path).path)
        http = http_trigger(self._protos, method, path, headers or {}, parameters, body)
        reply = self._invoke(function, http, host_trace).return_value.http
        return WorkerReply(int(reply.status_code), dict(reply.headers), reply.body.bytes)

    def fire_timer(self, name: str) -> None:
        """Runs a timer function to its end."""
        info = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
        self._invoke(self.functions[name], self._protos.TypedData(json=json.dumps(info)))

    def stop(self) -> None:
        self._process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _invoke(self, function: WorkerFunction, trigger: Any, host_trace: str = "") -> Any:
        invocation = invocation_of(self._protos, function, trigger)
        invocation.trace_context.trace_parent = host_trace
        self._process.send(json_format.MessageToJson(invocation, indent=None))
        response = self._receive(self._protos.InvocationResponse())
        assert response.invocation_id == invocation.invocation_id
        if response.result.status != self._protos.StatusResult.Success:
            exception = response.result.exception
            raise InvocationFailed(f"{function.name}: {exception.message}\n{exception.stack_trace}")
        return response

    def _receive(self, message: Any) -> Any:
        line = self._process.wait_for(lambda line: line.removeprefix(MARK) if line.startswith(MARK) else None)
        return json_format.Parse(line, message)


def taker(functions: Mapping[str, WorkerFunction], method: str, path: str) -> tuple[WorkerFunction, dict[str, str]]:
    """The first function, in the order of names, whose route takes the request, and the route's parameters.

    Raises: LookupError.
    """
    for _, function in sorted(functions.items()):
        parameters = function.takes(method, decode_path(path).removeprefix(ROUTE_PREFIX))
        if parameters is not None:
            return function, parameters
    raise LookupError(f"no function takes {method} {path}")


def http_trigger(
    protos: SimpleNamespace,
    method: str,
    path: str,
    headers: Mapping[str, str],
    parameters: Mapping[str, str],
    body: bytes,
) -> Any:
    """A request as the host hands it to its worker: empty query parameters are gone, header names are lower case."""
    http = protos.RpcHttp(
        method=method,
        url=f"https://app.example{path}",
        headers={name.lower(): value for name, value in headers.items()},
        query={name: value for name, value in parse_qsl(urlsplit(path).query) if value},
        params=parameters,
        body=protos.TypedData(bytes=body),
    )
    return protos.TypedData(http=http)


def invocation_of(protos: SimpleNamespace, function: WorkerFunction, trigger: Any) -> Any:
    binding = protos.ParameterBinding(name=function.argument, data=trigger)
    return protos.InvocationRequest(invocation_id=str(uuid.uuid4()), function_id=function.id, input_data=[binding])


class Runtime:
    """Microsoft's library in this process, which must be one of its own, with the app of a folder.

    `protos`: the classes of the messages that it takes and gives.
    """

    def __init__(self, protos: SimpleNamespace, message: SimpleNamespace) -> None:
        self.protos, self._message = protos, message

    @classmethod
    async def start(cls, root: Path) -> Self:
        """Raises: SystemExit with what the library says where it cannot load the app."""
        sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() not in (root, REPOSITORY)]
        sys.path.append(str(root))  # last, as in Azure
        os.chdir(root)
        protos = protocol()
        runtime.start_threadpool_executor()
        init = protos.WorkerInitRequest(host_version="4.0", function_app_directory=str(root))
        properties = {"host": "127.0.0.1", "protos": protos}
        message = SimpleNamespace(request=protos.StreamingMessage(worker_init_request=init), properties=properties)
        started = await runtime.worker_init_request(message)
        if started.result.status != protos.StatusResult.Success:
            raise SystemExit(f"{started.result.exception.message}\n{started.result.exception.stack_trace}")
        return cls(protos, message)

    async def index(self) -> Any:
        """A FunctionMetadataResponse."""
        return await runtime.functions_metadata_request(self._message)

    async def invoke(self, invocation: Any) -> Any:
        """An InvocationResponse."""
        request = self.protos.StreamingMessage(invocation_request=invocation)
        return await runtime.invocation_request(SimpleNamespace(request=request, properties=self._message.properties))


async def _work(root: Path, replies: IO[str]) -> None:
    def send(message: Any) -> None:
        replies.write(f"{MARK}{json_format.MessageToJson(message, indent=None)}\n")
        replies.flush()

    app = await Runtime.start(root)
    send(await app.index())
    for line in sys.stdin:
        send(await app.invoke(json_format.Parse(line, app.protos.InvocationRequest())))


def main() -> None:
    root = Path(sys.argv[1]).resolve()
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the app prints is no message
    asyncio.run(_work(root, replies))


if __name__ == "__main__":
    main()
