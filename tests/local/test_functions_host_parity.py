"""The local functions host gives the replies that Microsoft's own worker library gives for the same app."""

import os
from collections.abc import Iterator

import pytest
import requests

from local.functions_host.process import HostProcess
from local.processes import ChildFailed
from tests.local.test_functions_host import SAMPLE
from tests.support.microsoft_worker import InvocationFailed, MicrosoftWorker

ENVIRONMENT = {**os.environ, "TICK_SCHEDULE": "0 0 0 29 2 *"}


@pytest.fixture(scope="module")
def worker() -> Iterator[MicrosoftWorker]:
    with MicrosoftWorker(ENVIRONMENT, SAMPLE) as running:
        yield running


@pytest.fixture(scope="module")
def host() -> Iterator[HostProcess]:
    with HostProcess.start(SAMPLE, environment=ENVIRONMENT) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "users/7/log"),
        ("GET", "order/special"),
        ("GET", "ca/abc.crt"),
        ("GET", "headers"),
        ("POST", "no-content"),
        ("GET", "setting/PATH"),
    ],
)
def test_the_same_reply(host: HostProcess, worker: MicrosoftWorker, method: str, path: str) -> None:
    ours = requests.request(method, f"{host.url}/rest/{path}", timeout=10)
    theirs = worker.request(method, f"/api/{path}")

    assert (ours.status_code, ours.content) == (theirs.status, theirs.body)
    own_to_transport = {"date", "content-length", "set-cookie", "content-type"}
    for name in {*map(str.lower, theirs.headers)} - own_to_transport:
        # Their map keeps names that differ in case, in any order; a client sees one of the values.
        assert ours.headers[name] in {value for key, value in theirs.headers.items() if key.lower() == name}


@pytest.mark.parametrize("path", ["none", "raises"])
def test_the_same_failures(host: HostProcess, worker: MicrosoftWorker, path: str) -> None:
    with pytest.raises(InvocationFailed):
        worker.request("GET", f"/api/{path}")
    assert requests.get(f"{host.url}/rest/{path}", timeout=10).status_code == 500


def test_the_same_functions(host: HostProcess, worker: MicrosoftWorker) -> None:
    assert sorted(worker.functions) == sorted({*host.functions, "without_setting"})  # the host resolves settings


def test_timers_run(worker: MicrosoftWorker) -> None:
    worker.fire_timer("leap")
    assert worker.request("GET", "/api/ticks").json() == [{"status": {}}]
    with pytest.raises(InvocationFailed, match="the timer's own failure"):
        worker.fire_timer("failing")


def test_a_handler_under_functools_wraps_is_refused() -> None:
    with pytest.raises(ChildFailed, match="cannot load the wrapped function"):
        MicrosoftWorker({**ENVIRONMENT, "WITH_WRAPPED": "yes"}, SAMPLE)
