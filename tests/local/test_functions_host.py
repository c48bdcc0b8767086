"""The local functions host has the habits of the real one (each is a way to be surprised in Azure)."""

import http.client
import json
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from local.functions_host.process import HostProcess
from local.processes import REPOSITORY, ChildFailed, ChildProcess

SAMPLE = Path(__file__).parent / "sample_app"
SETTINGS = {
    "IsEncrypted": False,
    "Values": {
        "TICK_SCHEDULE": "* * * * * *",
        "PYTHON_THREADPOOL_THREAD_COUNT": "4",
        "FROM_FILE": "file",
        "FROM_BOTH": "file",
        "WITH_WRAPPED": "yes",
    },
}


def copy_sample(folder: Path, settings: dict[str, Any]) -> Path:
    root = folder / "app"
    shutil.copytree(SAMPLE, root, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "local.settings.json").write_text(json.dumps(settings))
    return root


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FROM_BOTH", "environment")
        root = copy_sample(tmp_path_factory.mktemp("host"), SETTINGS)
        with HostProcess.start(root, arguments=["--http-timeout", "2"]) as running:
            yield running


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def raw(host: HostProcess, message: bytes) -> bytes:
    """What the host answers to these bytes, up to the end of the connection."""
    address = urlsplit(host.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(message)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_function_sees_the_request(host: HostProcess, session: requests.Session) -> None:
    reply = session.post(f"{host.url}/rest/echo/a/b%20c?x=1", data=b"body", headers={"X-Mixed-Case": "v"})

    seen = reply.json()
    assert reply.headers["content-type"] == "application/json"
    assert (seen["method"], seen["body"], seen["params"]) == ("POST", "body", {"x": "1"})
    assert seen["route_params"] == {"rest": "a/b c"}
    assert seen["url"] == f"{host.url}/rest/echo/a/b%20c?x=1"


def test_empty_query_values_are_dropped_and_repeated_ones_joined_but_the_url_is_raw(
    host: HostProcess, session: requests.Session
) -> None:
    query = "recently_synced=&active=1&tag=a&tag=b&none"
    seen = session.get(f"{host.url}/rest/echo/?{query}").json()

    assert seen["params"] == {"active": "1", "tag": "a,b"}
    assert seen["url"].endswith(f"?{query}")


def test_header_names_arrive_in_lower_case_and_repeated_headers_joined(host: HostProcess) -> None:
    reply = raw(
        host,
        b"GET /rest/echo/ HTTP/1.1\r\nHost: example.test\r\nX-Thing: 1\r\nx-thing: 2\r\nConnection: close\r\n\r\n",
    )

    seen = json.loads(reply.partition(b"\r\n\r\n")[2])
    assert seen["headers"]["x-thing"] == "1,2"
    assert all(name == name.lower() for name in seen["headers"])
    assert seen["url"] == "http://example.test/rest/echo/"
    assert "x-forwarded-proto" not in seen["headers"]


def test_a_body_without_content_length_arrives_empty(host: HostProcess, session: requests.Session) -> None:
    seen = session.post(f"{host.url}/rest/echo/", data=iter([b"chunk" * 1000, b"ed"])).json()

    assert seen["headers"]["transfer-encoding"] == "chunked"
    assert seen["body"] == ""
    assert session.get(f"{host.url}/rest/text").status_code == 200, "the connection is still in step"


def test_routes_are_tried_in_the_order_of_function_names(host: HostProcess, session: requests.Session) -> None:
    assert session.get(f"{host.url}/rest/order/special").json() == "a_any"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("users/7", {"user": "7"}),
        ("users/7/", {"user": "7"}),
        ("users/7/log", {"user": "7", "part": "log"}),
        ("USERS/7", {"user": "7"}),
        ("ca/abc.crt", {"issuer": "abc"}),
        ("ca/a%2Fb.crt", {"issuer": "a%2Fb"}),
    ],
)
def test_route_templates(host: HostProcess, session: requests.Session, path: str, expected: dict[str, str]) -> None:
    assert session.get(f"{host.url}/rest/{path}").json() == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "rest/no-content"), ("GET", "rest/users/seven"), ("GET", "api/text"), ("GET", "rest/nowhere")],
)
def test_an_unlisted_method_or_unknown_route_is_a_bare_404(
    host: HostProcess, session: requests.Session, method: str, path: str
) -> None:
    reply = session.request(method, f"{host.url}/{path}")

    assert (reply.status_code, reply.content) == (404, b"")
    assert "allow" not in reply.headers
    assert "content-type" not in reply.headers


@pytest.mark.parametrize("path", ["none", "raises", "unicode-header"])
def test_a_function_that_fails_gives_an_empty_500(host: HostProcess, session: requests.Session, path: str) -> None:
    reply = session.get(f"{host.url}/rest/{path}")

    assert (reply.status_code, reply.content) == (500, b"")


def test_of_repeated_reply_headers_the_last_is_left_but_cookies_stay(host: HostProcess) -> None:
    address = urlsplit(host.url)
    connection = http.client.HTTPConnection(address.netloc, timeout=10)
    connection.request("GET", "/rest/headers")
    reply = connection.getresponse()

    assert reply.headers.get_all("x-twice") == ["last"]
    assert reply.headers.get_all("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]
    connection.close()


def test_a_str_is_sent_as_text(host: HostProcess, session: requests.Session) -> None:
    reply = session.get(f"{host.url}/rest/text")

    assert (reply.status_code, reply.text) == (200, "plain ünïcode")


def test_head_and_204_have_no_body_and_the_connection_stays_in_step(
    host: HostProcess, session: requests.Session
) -> None:
    assert session.head(f"{host.url}/rest/echo/").content == b""
    assert session.post(f"{host.url}/rest/no-content").status_code == 204
    assert session.get(f"{host.url}/rest/text").status_code == 200


def test_connections_are_kept_alive(host: HostProcess) -> None:
    address = urlsplit(host.url)
    connection = http.client.HTTPConnection(address.netloc, timeout=10)
    ports = set()
    for _ in range(3):
        connection.request("POST", "/rest/echo/", b"x")
        assert connection.getresponse().read()
        ports.add(connection.sock.getsockname()[1])

    assert len(ports) == 1
    connection.close()


def test_an_answer_that_takes_too_long_is_cut(host: HostProcess, session: requests.Session) -> None:
    started = time.monotonic()
    reply = session.get(f"{host.url}/rest/sleep/3")

    assert (reply.status_code, reply.content) == (502, b"")
    assert time.monotonic() - started < 2.9


def test_functions_run_in_a_pool_of_the_set_number_of_threads(host: HostProcess) -> None:
    time.sleep(1.1)  # the function that was cut in another test still holds its thread
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: requests.get(f"{host.url}/rest/sleep/0.4", timeout=10), range(8)))
    took = time.monotonic() - started

    assert [reply.status_code for reply in replies] == [200] * 8
    assert 0.8 <= took < 3.0, "eight at once, four at a time"


def test_the_app_root_is_last_on_the_path_so_installed_packages_win(
    host: HostProcess, session: requests.Session
) -> None:
    seen = session.get(f"{host.url}/rest/process").json()

    assert seen["path"][-1] == seen["folder"]
    assert seen["path"].count(seen["folder"]) == 1
    assert str(REPOSITORY) not in seen["path"]
    assert "site-packages" in seen["iniconfig"]


def test_local_settings_become_environment_but_never_override_it(host: HostProcess, session: requests.Session) -> None:
    assert session.get(f"{host.url}/rest/setting/FROM_FILE").json() == "file"
    assert session.get(f"{host.url}/rest/setting/FROM_BOTH").json() == "environment"


def test_a_function_in_error_is_left_out_and_the_others_work(host: HostProcess, session: requests.Session) -> None:
    assert "wrapped" not in host.functions
    assert "without_setting" not in host.functions
    assert session.get(f"{host.url}/rest/wrapped").status_code == 404
    assert session.get(f"{host.url}/rest/text").status_code == 200


def ticks(host: HostProcess) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = requests.get(f"{host.url}/rest/ticks", timeout=10).json()
    return seen


def test_a_timer_fires_at_its_schedule_from_a_setting(host: HostProcess) -> None:
    deadline = time.monotonic() + 10
    while len(scheduled := [tick for tick in ticks(host) if "at" in tick]) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)

    first, second, third = scheduled[:3]
    assert 0.5 < second["at"] - first["at"] < 1.8
    assert third["status"]["Last"].startswith(second["status"]["LastUpdated"][:10])
    assert third["past_due"] is False
    assert {"at_start": True} in ticks(host)


def test_a_timer_can_be_fired_by_hand(host: HostProcess, session: requests.Session) -> None:
    before = sum(tick == {"status": {}} for tick in ticks(host))
    reply = session.post(f"{host.url}/admin/functions/leap", json={"input": ""}, headers={"Prefer": "wait=10"})

    assert reply.status_code == 204
    assert sum(tick == {"status": {}} for tick in ticks(host)) == before + 1


def test_firing_by_hand_does_not_wait_unless_asked_to(host: HostProcess, session: requests.Session) -> None:
    started = time.monotonic()
    assert session.post(f"{host.url}/admin/functions/slow", json={}).status_code == 202
    assert session.post(f"{host.url}/admin/functions/slow", headers={"Prefer": "wait=0"}).status_code == 202
    assert time.monotonic() - started < 1.4


def test_a_timer_that_fails_says_so_to_who_waited(host: HostProcess, session: requests.Session) -> None:
    reply = session.post(f"{host.url}/admin/functions/failing", headers={"Prefer": "wait=10"})

    assert (reply.status_code, reply.content) == (500, b"")
    host.process.wait_for(lambda line: True if "the timer's own failure" in line else None, timedelta(seconds=10))


@pytest.mark.parametrize(("method", "name"), [("POST", "nowhere"), ("POST", "text"), ("GET", "leap")])
def test_only_timers_can_be_fired_and_only_by_post(
    host: HostProcess, session: requests.Session, method: str, name: str
) -> None:
    assert session.request(method, f"{host.url}/admin/functions/{name}").status_code == 404


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"POST /rest/echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /rest/echo/ HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n", b"413"),
        (b"POST /rest/echo/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_and_the_connection_closed(
    host: HostProcess, message: bytes, status: bytes
) -> None:
    assert raw(host, message).split(b" ")[1] == status


def test_it_ends_on_sigterm_after_the_running_functions(tmp_path: Path) -> None:
    root = copy_sample(tmp_path, SETTINGS)
    with HostProcess.start(root) as host:
        replies: list[int] = []
        caller = threading.Thread(
            target=lambda: replies.append(requests.get(f"{host.url}/rest/sleep/0.7", timeout=10).status_code)
        )
        caller.start()
        time.sleep(0.3)

        assert host.stop() == 0
        caller.join(5)

    assert replies == [200]


def test_it_ends_when_its_standard_input_closes(tmp_path: Path) -> None:
    root = copy_sample(tmp_path, SETTINGS)
    program = (
        "import os, sys, pathlib; from local.functions_host.process import HostProcess; "
        "host = HostProcess.start(pathlib.Path(sys.argv[1])); "
        "print(host.url, flush=True); os.kill(os.getpid(), 9)"
    )
    with ChildProcess("parent", [sys.executable, "-c", program, str(root)]) as parent:
        url = parent.wait_for(lambda line: line.strip() if line.startswith("http") else None)
        deadline = time.monotonic() + 10
        with pytest.raises(requests.ConnectionError):
            while time.monotonic() < deadline:
                requests.get(f"{url}/rest/text", timeout=5)
                time.sleep(0.1)

    assert parent.exit_code == -signal.SIGKILL


def test_an_app_that_cannot_be_imported_is_shown_with_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text("raise ImportError('the reason why')")

    with pytest.raises(ChildFailed, match="the reason why"):
        HostProcess.start(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold a JSON object"),
        ('{"IsEncrypted": true}', "is encrypted"),
        ('{"Values": {"PORT": 1}}', "the value of PORT must be a string"),
    ],
)
def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "local.settings.json").write_text(content)

    with pytest.raises(ChildFailed, match=reason):
        HostProcess.start(tmp_path)
