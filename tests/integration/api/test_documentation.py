"""What documents the API: its description and the page for it over HTTP, and docs/api.md.

The first two are cached, compressed, sent over https only and need nobody else's help; the last says what happens.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from local.functions_host.process import HostProcess
from local.processes import REPOSITORY
from local.stack import ApiClient, Stack
from shared.api.documentation import ASSETS
from tests.support.described import described

OUTSIDE = re.compile(rb"""(?:src|href|url|import|fetch)\s*[=(]?\s*["']?(?:https?:)?//""")
PAGE = REPOSITORY / "docs" / "api.md"
END = "=== end of output ==="
FRONT_DOOR = "https://pki.contoso.example/ca"


def test_the_description_is_public_and_of_this_app(stack: Stack) -> None:
    reply = requests.get(f"{stack.url}/api/openapi.json", timeout=60)

    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.headers["Content-Encoding"] == "gzip"
    assert reply.json() == described()


def test_who_has_the_description_gets_it_once(stack: Stack) -> None:
    address = f"{stack.url}/api/openapi.json"
    first = requests.get(address, timeout=60)
    again = requests.get(address, headers={"If-None-Match": first.headers["ETag"]}, timeout=60)

    assert "max-age=300" in first.headers["Cache-Control"]
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])


@pytest.mark.parametrize("path", ["openapi.json", "docs", "docs/start.js"])
def test_what_a_token_is_entered_on_does_not_come_over_http(stack: Stack, path: str) -> None:
    reply = requests.get(f"{stack.url}/api/{path}", headers={"X-Forwarded-Proto": "http"}, timeout=60)

    assert (reply.status_code, reply.json()["code"]) == (403, "https_required")


@pytest.mark.parametrize("address", ["docs", "docs/"])
def test_all_that_the_page_names_is_there_and_may_run_nothing_else(stack: Stack, address: str) -> None:
    page = requests.get(f"{stack.url}/api/{address}", timeout=60)
    named = [
        name for name in re.findall(r'(?:src|href|description)="([^"]+)"', page.text) if not name.startswith("data:")
    ]

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert len(named) == len(ASSETS) + 2  # and the description: for the script, and for those without one
    for name in named:
        found = requests.get(urljoin(page.url, name), timeout=60)
        assert (found.status_code, found.headers["X-Request-Id"] != "") == (200, True), name


def test_the_page_is_made_of_this_app_s_own_files_only(stack: Stack) -> None:
    own = [requests.get(f"{stack.url}/api/{path}", timeout=60).content for path in ("docs", "docs/start.js")]

    assert not [found for content in own for found in OUTSIDE.findall(content)]


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fstart.js", "page.html", "swagger-ui.css.gz"])
def test_no_other_file_is_handed_out(stack: Stack, name: str) -> None:
    reply = requests.get(f"{stack.url}/api/docs/{name}", timeout=60)

    assert (reply.status_code, reply.json()["code"]) == (404, "route_not_found")


@pytest.fixture(scope="module")
def behind_a_front_door(stack: Stack) -> Iterator[str]:
    """The same app, told that its callers know it by another name."""
    environment = stack.environment | {"API_PUBLIC_URL": FRONT_DOOR}
    arguments = ["--settings", str(stack.settings_file)]
    with HostProcess.start(environment=environment, arguments=arguments) as host:
        yield host.url


def test_links_name_the_front_door_and_not_what_it_asks(stack: Stack, behind_a_front_door: str) -> None:
    api = ApiClient(behind_a_front_door, stack.token)
    page = api.get("users?per_page=5&search=no+one").json()

    assert page["path"] == f"{FRONT_DOOR}/api/v1/entra-id/users"
    assert page["first_page_url"] == f"{FRONT_DOOR}/api/v1/entra-id/users?per_page=5&search=no+one&page=1"
    assert all((link["url"] or FRONT_DOOR).startswith(FRONT_DOOR) for link in page["links"])


def test_the_address_of_a_started_sync_is_the_front_door_s(stack: Stack, behind_a_front_door: str) -> None:
    reply = ApiClient(behind_a_front_door, stack.token).post("sync", json={})

    assert reply.status_code == 202
    assert reply.headers["Location"] == reply.json()["status_url"] == f"{FRONT_DOOR}/api/v1/entra-id/sync"


def test_the_description_names_the_front_door_as_server(behind_a_front_door: str) -> None:
    reply = requests.get(f"{behind_a_front_door}/api/openapi.json", timeout=60)

    assert reply.json()["servers"] == [{"url": FRONT_DOOR}]


def session() -> list[tuple[str, str]]:
    """The page's commands, each with what it prints."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    steps = re.split(r"^\$ ", "".join(blocks), flags=re.M)[1:]
    return [(command, printed) for command, _, printed in (step.partition("\n") for step in steps)]


@pytest.mark.skipif(shutil.which("jq") is None, reason="the page uses jq")
def test_the_session_on_the_page_is_what_happens(stack: Stack, tmp_path: Path) -> None:
    stack.entra.add_user("ada@contoso.example", displayName="Ada Lovelace")
    script = "".join(f"{command}\necho '{END}'\n" for command, _ in session())

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=stack.environment | {"URL": stack.url, "TOKEN": stack.token},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split(f"{END}\n")[:-1] == [printed for _, printed in session()]
