"""What the Key Vault backend makes of hosts that are not there, and of answers that no key vault should give."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import formatdate
from typing import Any

import certifi
import pytest
from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
from azure.keyvault.keys import KeyClient
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.utils import base64url_encode

from local.https_server import Reply, Request, Wire
from shared.context import Deadline
from shared.pki.errors import BackendMisconfigured, BackendThrottled, BackendTimeout, BackendUnavailable
from shared.pki.keys import KeyType, generate_key, sign
from shared.pki.signing.bounded_transport import bounded_transport
from shared.pki.signing.key_vault import SDK_FAILURES, KeyVaultBackend
from shared.pki.signing.key_vault_problems import may_have_been_done
from shared.telemetry.calls import Peer
from tests.support.odd_server import OddServer, odd_server

REFERENCE = "user-ca/" + "0" * 32


class AnyCredential:
    """A token that looks like one; these servers do not check it."""

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        return AccessTokenInfo("e30.e30.", int(time.time()) + 3600)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OddServer]:
    with odd_server(tmp_path_factory.mktemp("odd")) as running:
        yield running


@pytest.fixture(autouse=True)
def trust(server: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.root))
    server.requests.clear()


def connect(url: str, **options: Any) -> KeyVaultBackend:
    return KeyVaultBackend(url, "user-ca", AnyCredential, **{"verify_challenge": False, **options})


def within(seconds: float) -> Deadline:
    return Deadline.after(timedelta(seconds=seconds))


PUBLIC = generate_key(KeyType.P_256).public_key()


def key_bundle(server: OddServer, **changed: Any) -> Reply:
    assert isinstance(PUBLIC, ec.EllipticCurvePublicKey)
    numbers = PUBLIC.public_numbers()
    jwk = {
        "kid": f"{server.url}/keys/{REFERENCE}",
        "kty": "EC",
        "key_ops": ["sign", "verify"],
        "crv": "P-256",
        "x": base64url_encode(numbers.x.to_bytes(32)).decode(),
        "y": base64url_encode(numbers.y.to_bytes(32)).decode(),
    }
    return Reply.json({"key": jwk | changed, "attributes": {"enabled": True}})


def challenge(server: OddServer, resource: str = "https://vault.azure.net") -> Reply:
    value = f'Bearer authorization="https://login.microsoftonline.com/x", resource="{resource}"'
    return Reply(401, b"", {"WWW-Authenticate": value})


def vault(server: OddServer, signed: Callable[[], Reply]) -> Callable[[Request], Reply]:
    """Answers like a vault, but for signatures."""

    def answer(request: Request) -> Reply:
        if "authorization" not in request.headers:
            return challenge(server)
        return signed() if request.path.endswith("/sign") else key_bundle(server)

    return answer


def test_a_vault_name_that_does_not_exist_is_told_as_such() -> None:
    with pytest.raises(
        BackendMisconfigured, match=r"no-such-vault\.invalid cannot be resolved: check CA_KEY_VAULT_URL"
    ):
        connect("https://no-such-vault.invalid").check(REFERENCE, within(2))


def test_a_host_that_does_not_listen_is_unavailable() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        with pytest.raises(BackendUnavailable, match="cannot be reached"):
            connect(f"https://127.0.0.1:{bound.getsockname()[1]}").check(REFERENCE, within(1))


def test_a_certificate_that_nobody_vouches_for_is_told_as_such(
    server: OddServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())

    with pytest.raises(BackendMisconfigured, match=r"TLS certificate of 127\.0\.0\.1 is not trusted"):
        connect(server.url).check(REFERENCE, within(2))

    assert server.requests == []


def test_a_host_that_asks_for_another_services_token_gets_none(server: OddServer) -> None:
    server.answer = lambda _: challenge(server)

    with pytest.raises(BackendMisconfigured, match="CA_KEY_VAULT_URL must be the vault's own URL"):
        connect(server.url, verify_challenge=True).check(REFERENCE, within(5))

    assert all("authorization" not in request.headers for request in server.requests)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Welcome to nginx</html>", content_type="text/html"),
        Reply(200, b"{}"),
        Reply(200, b"[]"),
        Reply(200, b'{"key": null}'),
        Reply(200, b'{"key": {"kid": "no url", "kty": "EC"}}'),
        Reply(200, b"not json"),
        Reply(200, b""),
        Reply(200, b"x" * 2_000_000),
        Reply(302, b"", {"Location": "https://127.0.0.1:1/"}),
        Reply(401, b""),
        Reply(401, b"", {"WWW-Authenticate": "Basic"}),
        Reply(418, b""),
        Reply(400, b'{"error": []}'),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:16]!r}",
)
def test_a_host_that_is_no_key_vault_is_an_error_of_ours_not_a_crash(server: OddServer, reply: Reply) -> None:
    server.answer = lambda _: reply

    with pytest.raises((BackendUnavailable, BackendMisconfigured)) as caught:
        connect(server.url).check(REFERENCE, within(2))

    assert caught.value.status == 503


def failure_of(url: str) -> Exception:
    """What the SDK raises for a request to the host."""
    transport = bounded_transport(Peer.KEY_VAULT)
    options: dict[str, Any] = {"transport": transport, "retry_total": 0, "verify_challenge_resource": False}
    client = KeyClient(url, AnyCredential(), **options)  # type: ignore[arg-type]  # get_token_info is enough
    with pytest.raises(SDK_FAILURES) as caught:
        client.get_key("user-ca", connection_timeout=2, read_timeout=2)
    return caught.value


@pytest.mark.parametrize(
    ("reply", "certain"),
    [
        *((Reply(status, b""), True) for status in (401, 403, 404, 429)),
        *((Reply(status, b""), False) for status in (200, 302, 400, 408, 409, 500, 502, 503, 504)),
        (Reply(429, b"{}", wire=Wire(drop=True)), False),
        (Reply(429, b"x" * 99, wire=Wire(cut_at=0.5)), False),
    ],
    ids=lambda value: f"{value.status} {value.wire}" if isinstance(value, Reply) else "",
)
def test_only_a_whole_and_clear_refusal_proves_that_nothing_was_done(
    server: OddServer, reply: Reply, certain: bool
) -> None:
    server.answer = lambda request: reply if "authorization" in request.headers else challenge(server)

    assert may_have_been_done(failure_of(server.url)) is not certain


def test_what_was_never_sent_was_not_done(server: OddServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert not may_have_been_done(failure_of(f"https://127.0.0.1:{bound.getsockname()[1]}"))
    assert not may_have_been_done(failure_of("https://no-such-vault.invalid"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert not may_have_been_done(failure_of(server.url))
    assert server.requests == []


def test_a_redirect_is_not_followed(server: OddServer) -> None:
    server.answer = lambda request: (
        Reply(302, b"", {"Location": f"{server.url}/elsewhere"})
        if "authorization" in request.headers
        else challenge(server)
    )

    with pytest.raises(BackendUnavailable, match="status 302"):
        connect(server.url).check(REFERENCE, within(2))

    assert {request.path for request in server.requests} == {f"/keys/{REFERENCE}"}


@pytest.mark.parametrize(
    "changed",
    [
        {"kty": "oct"},
        {"crv": "P-256K"},
        {"kty": "RSA", "n": "_" * 170 + "w", "e": "AQAB"},
        {"kty": "RSA", "n": "_" * 342 + "w", "e": "Aw"},
    ],
    ids=["symmetric", "secp256k1", "short RSA", "exponent 3"],
)
def test_a_key_that_no_authority_should_have_is_refused(server: OddServer, changed: dict[str, str]) -> None:
    server.answer = lambda request: (
        key_bundle(server, **changed) if "authorization" in request.headers else challenge(server)
    )

    with pytest.raises(BackendMisconfigured, match="is of type"):
        connect(server.url).public_key(REFERENCE, within(5))


def test_a_point_that_is_not_on_the_curve_is_refused(server: OddServer) -> None:
    point = base64url_encode(bytes([7]) * 32).decode()
    server.answer = lambda request: (
        key_bundle(server, x=point, y=point) if "authorization" in request.headers else challenge(server)
    )

    with pytest.raises(BackendUnavailable, match="a public key that is none"):
        connect(server.url).public_key(REFERENCE, within(5))


@pytest.mark.parametrize(
    "value",
    [{}, {"value": None}, {"value": ""}, {"value": "AAAA"}, {"value": "A" * 86}, {"value": "_" * 87}, {"value": "%%"}],
    ids=["none", "null", "empty", "short", "zeros", "odd", "not base64url"],
)
def test_what_is_no_signature_is_never_passed_on(server: OddServer, value: dict[str, str | None]) -> None:
    server.answer = vault(server, lambda: Reply.json({"kid": f"{server.url}/keys/{REFERENCE}", **value}))
    key = connect(server.url).signing_key(REFERENCE, within(5))

    with pytest.raises(BackendUnavailable, match="answered with"):
        sign(key, b"data")

    assert server.requests[-1].path.endswith("/sign")


def test_a_dripping_answer_ends_with_the_deadline(server: OddServer) -> None:
    body = json.dumps({"value": "A" * 86}).encode()
    server.answer = vault(server, lambda: Reply(200, body, wire=Wire(drip=0.2)))
    backend = connect(server.url)
    backend.public_key(REFERENCE, within(5))
    key = backend.signing_key(REFERENCE, within(1))

    started = time.monotonic()
    with pytest.raises(BackendTimeout):
        sign(key, b"data")

    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("retry_after", "told"),
    [("7", 7), ("0", 1), ("-3", 1), ("soon", 1), ("", 1), ("999999999999", 60), (None, 1)],
)
def test_however_odd_a_retry_after_the_caller_gets_a_sane_one(
    server: OddServer, retry_after: str | None, told: int
) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    server.answer = lambda request: (
        Reply(429, b"", headers) if "authorization" in request.headers else challenge(server)
    )

    with pytest.raises(BackendThrottled) as caught:
        connect(server.url).check(REFERENCE, within(0.9))

    assert caught.value.retry_after is not None
    assert caught.value.retry_after.total_seconds() == pytest.approx(told, abs=0.9)


def test_a_retry_after_may_be_a_date(server: OddServer) -> None:
    headers = {"Retry-After": formatdate(time.time() + 30, usegmt=True)}
    server.answer = lambda request: (
        Reply(429, b"", headers) if "authorization" in request.headers else challenge(server)
    )

    with pytest.raises(BackendThrottled) as caught:
        connect(server.url).check(REFERENCE, within(5))

    assert caught.value.retry_after is not None
    assert 27 <= caught.value.retry_after.total_seconds() <= 31


def test_a_key_is_asked_for_where_the_settings_say_not_where_the_answer_points(server: OddServer) -> None:
    elsewhere = f"https://elsewhere.vault.azure.net/keys/{REFERENCE}"
    asked: list[str] = []

    def answer(request: Request) -> Reply:
        if "authorization" not in request.headers:
            return challenge(server)
        asked.append(request.path)
        return Reply.json({"value": "A" * 86}) if request.path.endswith("/sign") else key_bundle(server, kid=elsewhere)

    server.answer = answer
    key = connect(server.url).signing_key(REFERENCE, within(5))

    with pytest.raises(BackendUnavailable):
        sign(key, b"data")

    assert asked == [f"/keys/{REFERENCE}", f"/keys/{REFERENCE}/sign"]
