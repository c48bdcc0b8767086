"""Azure's SDK over our transport: an answer comes whole, in time and of a sane size, or not at all."""

import gzip
import time
from collections.abc import Iterator

import pytest
from azure.core.exceptions import ServiceResponseError, ServiceResponseTimeoutError
from azure.core.rest import HttpRequest, HttpResponse

from local.https_server import Reply, Wire
from shared.pki.signing.bounded_transport import MAX_BODY, OversizeAnswer, bounded_transport
from shared.telemetry.calls import Peer
from tests.support.odd_server import OddServer, odd_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OddServer]:
    with odd_server(tmp_path_factory.mktemp("odd")) as running:
        yield running


@pytest.fixture(autouse=True)
def trust(server: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.root))
    server.requests.clear()


def get(server: OddServer, read_timeout: float = 5) -> HttpResponse:
    with bounded_transport(Peer.KEY_VAULT) as transport:
        request = HttpRequest("GET", server.url)
        response: HttpResponse = transport.send(request, connection_timeout=5, read_timeout=read_timeout)
        return response


@pytest.mark.parametrize("body", [b"", b"{}", bytes(200_000)], ids=["empty", "small", "large"])
def test_a_body_arrives_whole(server: OddServer, body: bytes) -> None:
    server.answer = lambda _: Reply(200, body, {"X-Odd": "yes"})

    response = get(server)

    assert (response.status_code, response.content, response.headers["x-odd"]) == (200, body, "yes")


def test_a_compressed_body_is_unpacked_once(server: OddServer) -> None:
    server.answer = lambda _: Reply(200, gzip.compress(b"unpacked"), {"Content-Encoding": "gzip"})

    assert get(server).content == b"unpacked"


def test_a_dripping_body_is_given_up_at_the_read_time_out(server: OddServer) -> None:
    server.answer = lambda _: Reply(200, b"x" * 600, wire=Wire(drip=0.1))

    started = time.monotonic()
    with pytest.raises(ServiceResponseTimeoutError):
        get(server, read_timeout=0.5)

    assert time.monotonic() - started < 2


def test_a_silent_server_is_given_up_at_the_read_time_out(server: OddServer) -> None:
    server.answer = lambda _: Reply(200, b"{}", wire=Wire(delay=2))

    with pytest.raises(ServiceResponseTimeoutError):
        get(server, read_timeout=0.3)


@pytest.mark.parametrize("wire", [Wire(drop=True), Wire(cut_at=0.5)], ids=["dropped", "cut"])
def test_a_broken_connection_is_an_error_not_half_an_answer(server: OddServer, wire: Wire) -> None:
    server.answer = lambda _: Reply(200, b"x" * 1000, wire=wire)

    with pytest.raises(ServiceResponseError):
        get(server)


@pytest.mark.parametrize("packed", [False, True])
def test_an_oversize_body_is_refused_before_it_fills_the_memory(server: OddServer, packed: bool) -> None:
    body = bytes(MAX_BODY + 1)
    headers = {"Content-Encoding": "gzip"} if packed else {}
    server.answer = lambda _: Reply(200, gzip.compress(body) if packed else body, headers)

    with pytest.raises(OversizeAnswer):
        get(server)


def test_a_body_that_is_not_packed_as_it_says_is_an_error(server: OddServer) -> None:
    server.answer = lambda _: Reply(200, b"not gzip", {"Content-Encoding": "gzip"})

    with pytest.raises(ServiceResponseError):
        get(server)


def test_one_connection_serves_many_requests(server: OddServer, caplog: pytest.LogCaptureFixture) -> None:
    server.answer = lambda _: Reply(200, b"{}")

    with caplog.at_level("DEBUG", "urllib3.connectionpool"), bounded_transport(Peer.KEY_VAULT) as transport:
        for _ in range(5):
            transport.send(HttpRequest("GET", server.url), connection_timeout=5, read_timeout=5)

    assert len([line for line in caplog.messages if "Starting new HTTPS connection" in line]) == 1
    assert len(server.requests) == 5
