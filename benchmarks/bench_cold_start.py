"""How long an instance takes to come up: ours against an empty function app, in Microsoft's own worker library.

python -m benchmarks.bench_cold_start [--rounds N]

`indexed`: from the start of the worker's process until the app's functions are known. `first reply`: from there until
the first request is answered. Both apps take turns, and the medians are compared, so that a busy machine favours none.
Without .pyc files means without any, the standard library's included.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from local.processes import REPOSITORY
from local.stack import API, Stack, running_cloud, running_stack
from tests.support.microsoft_worker import MicrosoftWorker

EMPTY_APP = Path(__file__).with_name("empty_app")
IMPORT_GOAL_MS = 200.0
"""What our imports may add to an empty app, with .pyc files."""


@dataclass(frozen=True)
class App:
    name: str
    root: Path
    path: str


EMPTY = App("empty function app", EMPTY_APP, "/api/empty")
HEALTH = App("ours, first request: health", REPOSITORY, f"{API}/health")
USERS = App("ours, first request: users", REPOSITORY, f"{API}/users")
APPS = (EMPTY, HEALTH, USERS)


@dataclass(frozen=True)
class Start:
    """Milliseconds."""

    indexed: float
    first_reply: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="starts of each app, in turns")
    rounds = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory(prefix="bench-cold-start-") as folder,
        running_cloud(Path(folder), "software") as cloud,
        running_stack(cloud.azurite, cloud.entra, cloud.tenant, Path(folder)) as stack,
    ):
        print(
            f"{'cold start, medians of ' + str(rounds):<52}{'indexed ms':>12}{'over empty':>12}{'first reply ms':>16}"
        )
        for compiled in (True, False):
            compare(stack, rounds, compiled)


def compare(stack: Stack, rounds: int, compiled: bool) -> None:
    starts: dict[App, list[Start]] = {app: [] for app in APPS}
    for number in range(-1 if compiled else 0, rounds):  # the round before the first writes the .pyc files
        for app, taken in starts.items():
            measured = start(app, stack, compiled)
            if number >= 0:
                taken.append(measured)
    empty = statistics.median(one.indexed for one in starts[EMPTY])
    for app, taken in starts.items():
        indexed = statistics.median(one.indexed for one in taken)
        reply = statistics.median(one.first_reply for one in taken)
        name = f"  {app.name}, {'with' if compiled else 'without'} .pyc"
        verdict = ""
        if compiled and app is HEALTH:
            verdict = f"  goal {IMPORT_GOAL_MS:.0f}: {'reached' if indexed - empty <= IMPORT_GOAL_MS else 'MISSED'}"
        print(f"{name:<52}{indexed:>12.0f}{indexed - empty:>+12.0f}{reply:>16.0f}{verdict}")


def start(app: App, stack: Stack, compiled: bool) -> Start:
    with tempfile.TemporaryDirectory(prefix="no-pyc-") as nothing:
        uncompiled = {} if compiled else {"PYTHONPYCACHEPREFIX": nothing, "PYTHONDONTWRITEBYTECODE": "1"}
        began = time.perf_counter()
        with MicrosoftWorker(stack.environment | uncompiled, app.root) as worker:
            indexed = time.perf_counter()
            reply = worker.request("GET", app.path, headers={"Authorization": f"Bearer {stack.token}"})
            replied = time.perf_counter()
    if reply.status != 200:
        raise SystemExit(f"{app.name} answered {reply.status}: {reply.body.decode(errors='replace')}")
    return Start((indexed - began) * 1000, (replied - indexed) * 1000)


if __name__ == "__main__":
    main()
