"""Requests a second and their latency for each endpoint, in Microsoft's own worker library, under 1, 8 and 32 callers.

python -m benchmarks.bench_http [--seconds N]

An empty function in the same server is the measure of what there is to be had. The callers are wrk (Debian's package
`wrk`) with connections kept open; Azurite, the Entra emulator, the app and wrk share the machine. They authenticate
with an Entra token; an API token costs one point read more for each request, so that its revocation holds at once.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import peers
from local.demo_directory import fill
from local.processes import REPOSITORY, ChildProcess, announcement
from local.stack import ABILITY, API, Stack, running_cloud, running_stack
from shared.pki.keys import KeyType
from tests.support.issuers import key_of
from tests.support.ocsp import path_of, request_for_shown
from tests.support.pki import make_csr

EMPTY_APP = Path(__file__).with_name("empty_app")
CALLERS = (1, 8, 32)
GOAL = 0.6
"""Of an empty function's throughput, for the endpoints that are asked all the time."""
WARM_UP = timedelta(seconds=1)

SCRIPT = """
wrk.method = %(method)s
wrk.body = %(body)s
%(headers)s
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(args) refused = 0 end
function response(status) if status >= 400 then refused = refused + 1 end end
function done(summary, latency, requests)
  local bad = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, thread in ipairs(threads) do bad = bad + thread:get("refused") end
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), bad))
end
"""


@dataclass(frozen=True)
class Target:
    """What is asked. `has_goal`: whether it has to keep up with the empty function."""

    name: str
    path: str
    method: str = "GET"
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    has_goal: bool = False


@dataclass(frozen=True)
class Load:
    """What wrk saw. `p50`, `p99`: milliseconds; `bad`: broken connections, time-outs and replies of 400 and above."""

    per_second: float
    p50: float
    p99: float
    bad: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4, help="of load for each endpoint and number of callers")
    seconds = parser.parse_args().seconds
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: install it (Debian: apt-get install wrk) and run this again.")
    peers.make_importable()  # before the server, whose environment trusts the emulators only
    with (
        tempfile.TemporaryDirectory(prefix="bench-http-") as name,
        laptop(Path(name)) as stack,
        server(EMPTY_APP, stack.environment) as empty_url,
        server(REPOSITORY, stack.environment) as url,
    ):
        print(f"{'':<32}" + "".join(f"{f'{callers} callers':>34}" for callers in CALLERS))
        print(f"{'':<32}" + f"{'requests/s':>12}{'p50 ms':>8}{'p99 ms':>8}{'ratio':>6}" * len(CALLERS))
        empty = measured(empty_url, Target("an empty function", "/api/empty"), seconds)
        show("an empty function", empty, empty)
        for target in targets(stack):
            loads = measured(url, target, seconds)
            show(target.name, loads, empty)
            if target.has_goal:
                pairs = zip(loads, empty, strict=True)
                reached = all(load.per_second >= GOAL * free.per_second for load, free in pairs)
                print(f"{'':<32}goal: {GOAL} of an empty function: {'reached' if reached else 'MISSED'}")


@contextmanager
def laptop(folder: Path) -> Iterator[Stack]:
    """A stack with the demo's directory in its tables."""
    with running_cloud(folder, "software") as cloud:
        fill(cloud.tenant)
        with running_stack(cloud.azurite, cloud.entra, cloud.tenant, folder) as stack:
            stack.fire_timer("sync_tenant")
            yield stack


@contextmanager
def server(root: Path, environment: Mapping[str, str]) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.runtime_server", str(root)]
    with ChildProcess("the runtime's server", command, environment=environment) as process:
        yield process.wait_for(announcement)["url"]


def targets(stack: Stack) -> Sequence[Target]:
    api = stack.api
    person = next(user for user in stack.entra.snapshot().users.values() if user.state == "active")
    user = api.get("users", params={"search": person.user_principal_name}).json()["data"][0]
    token = stack.entra.mint_token(user=person.id, roles=[ABILITY])
    bearer = {"Authorization": f"Bearer {token}"}
    api_token = {"Authorization": f"Bearer {stack.token}"}
    posted = bearer | {"Content-Type": "application/json"}

    def get(name: str, path: str, **more: Any) -> Target:
        return Target(name, f"{API}/{path}", headers=bearer, **more)

    def post(name: str, path: str, body: Mapping[str, Any], **more: Any) -> Target:
        return Target(name, f"{API}/{path}", "POST", json.dumps(body), posted, **more)

    order = {"user_id": user["id"], "csr": make_csr(key_of(KeyType.P_256, "benchmark"))}
    issued = api.post("provision-certificate", json=order).json()["certificate"]
    pki = f"/api/v1/pki/{issued['issuer_id']}"
    return (
        get("health", "health", has_goal=True),
        Target("health, anonymous", f"{API}/health"),
        Target("health, with an API token", f"{API}/health", headers=api_token),
        post("validate-token, seen before", "validate-token", {"token": token}, has_goal=True),
        get("users, first page", "users"),
        get("users, search", "users?search=garcia"),
        get("user", f"users/{user['id']}"),
        get("certificates", "certificates"),
        get("certificate", f"certificates/{issued['id']}"),
        get("statistics", "statistics"),
        Target("CRL", f"{pki}/crl"),
        Target("OCSP by GET", f"{pki}/ocsp/{path_of(request_for_shown(issued))}"),
        post("sync-user", "sync-user", {"user_principal_name": person.user_principal_name}),
        post("provision-certificate, CSR", "provision-certificate", order),
    )


def measured(url: str, target: Target, seconds: int) -> list[Load]:
    wrk(url, target, CALLERS[0], int(WARM_UP.total_seconds()))
    return [wrk(url, target, callers, seconds) for callers in CALLERS]


def wrk(url: str, target: Target, callers: int, seconds: int) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        headers = "\n".join(f"wrk.headers[{lua(name)}] = {lua(value)}" for name, value in target.headers.items())
        script.write(SCRIPT % {"method": lua(target.method), "body": lua(target.body), "headers": headers})
        script.flush()
        command = ["wrk", "-t1", f"-c{callers}", f"-d{seconds}s", "--timeout", "30s", "-s", script.name]
        done = subprocess.run([*command, url + target.path], capture_output=True, text=True, check=True)
    result = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    requests, microseconds, p50, p99, bad = map(int, result.split()[1:])
    return Load(requests / microseconds * 1e6, p50 / 1000, p99 / 1000, bad)


def lua(text: str | None) -> str:
    return "nil" if text is None else json.dumps(text)


def show(name: str, loads: Sequence[Load], empty: Sequence[Load]) -> None:
    cells = "".join(
        f"{load.per_second:>12,.0f}{load.p50:>8.1f}{load.p99:>8.1f}{load.per_second / free.per_second:>6.2f}"
        for load, free in zip(loads, empty, strict=True)
    )
    bad = sum(load.bad for load in loads)
    print(f"{name:<32}{cells}" + (f"  {bad} FAILED" if bad else ""))


if __name__ == "__main__":
    main()
