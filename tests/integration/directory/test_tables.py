"""The thin layer over Table Storage: time-outs, proxies, trust, identity."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from local import tls
from local.azurite.azurite import Azurite
from shared.directory.batch import Method, Operation, build_batch
from shared.directory.errors import StorageRefused, StorageUnavailable
from shared.directory.tables import TableStore
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.ledger_story import soon


def no_fault(method: str, path: str) -> Fault:
    return Fault.NONE


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Where connections are taken and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_service_that_never_answers_costs_no_more_than_the_deadline(
    azurite: Azurite, silent_port: int, tenant_id: str
) -> None:
    silent = azurite.connection_string.replace(f":{azurite.table_port}/", f":{silent_port}/")
    tables = TableStore.from_connection_string(silent, "directory")
    batch = build_batch(tables.url, "directory", tenant_id, [Operation(Method.INSERT, "x", {})], tenant_id)

    started = time.monotonic()
    assert tables.transact(batch, soon(0.4)) is None
    with pytest.raises(StorageUnavailable):
        tables.get(tenant_id, "x", soon(0.4))
    with pytest.raises(StorageUnavailable):
        list(tables.query(tenant_id, "a", "b", soon(0.4)))

    assert time.monotonic() - started < 3


def test_nothing_is_sent_after_the_deadline(azurite: Azurite, tenant_id: str) -> None:
    with FaultProxy(azurite.table_port, no_fault) as proxy:
        tables = TableStore.from_connection_string(proxy.connection_string(azurite.connection_string), "directory")
        with pytest.raises(StorageUnavailable):
            tables.get(tenant_id, "x", soon(-1))

    assert proxy.requests == []


def test_a_transaction_is_sent_once_however_it_is_answered(azurite: Azurite, tenant_id: str) -> None:
    for fault in (Fault.LOSE_REQUEST, Fault.LOSE_REPLY, Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.CUT_REPLY):
        with FaultProxy(azurite.table_port, lambda *_, fault=fault: fault) as proxy:
            tables = TableStore.from_connection_string(proxy.connection_string(azurite.connection_string), "directory")
            operation = Operation(Method.INSERT, fault.name, {})
            batch = build_batch(tables.url, "directory", tenant_id, [operation], tenant_id)

            assert tables.transact(batch, soon()) is None
        assert len(proxy.requests) == 1


def test_the_environments_proxy_is_used(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultProxy(azurite.table_port, lambda *_: Fault.ERROR_BEFORE) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        elsewhere = azurite.connection_string.replace("127.0.0.1", "storage.invalid")
        with pytest.raises(StorageUnavailable):
            TableStore.from_connection_string(elsewhere, "directory").get("t", "x", soon(1))

    assert all(path.startswith("http://storage.invalid") for _, path in proxy.requests)
    assert proxy.requests


def test_an_identity_is_shown_as_a_bearer_token_over_https(
    azurite: Azurite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Identity:
        def get_token(self, *scopes: str, **_: Any) -> AccessToken:
            asked.append(scopes)
            return AccessToken("a-token", int(time.time()) + 3600)

    asked: list[tuple[str, ...]] = []
    files = tls.ensure(tmp_path / "tls")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(files.root))
    with FaultProxy(azurite.table_port, no_fault, tls=files.server_context()) as proxy:
        url = f"https://127.0.0.1:{proxy.port}/devstoreaccount1"
        tables = TableStore.from_endpoint(url, "directory", Identity())
        with pytest.raises(StorageRefused):  # Azurite speaks no OAuth over http
            tables.get("t", "x", soon())

    assert proxy.authorizations[0] == "Bearer a-token"
    assert asked[0] == ("https://storage.azure.com/.default",)
