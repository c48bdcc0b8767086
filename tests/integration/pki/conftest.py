"""A CA of the test's own, on a real ledger in Azurite; a key vault."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite.azurite import Azurite
from local.entra.control import EntraEmulator
from local.https_server import Reply
from local.key_vault.control import KeyVaultEmulator
from shared.directory.ledger import Ledger
from shared.directory.tables import TableStore
from shared.services import Services
from tests.support.app import app_of
from tests.support.command_line import Run, run_command
from tests.support.expiry import Office
from tests.support.key_vault import EXTERNAL, VaultUnderTest, emulated_vault, external_vault
from tests.support.odd_server import OddServer, odd_server
from tests.support.pki import TestCa, software_backend


@pytest.fixture
def ca(ledger: Ledger, tmp_path: Path) -> TestCa:
    """Initialized, with a P-256 key in a file."""
    return TestCa.on(ledger, software_backend(tmp_path)).initialize()


@pytest.fixture(scope="session")
def key_vault_emulator(entra: EntraEmulator) -> Iterator[KeyVaultEmulator]:
    """The Key Vault emulator, over HTTPS; it makes a vault for whoever asks."""
    with KeyVaultEmulator.start(entra) as running:
        yield running


@pytest.fixture
def key_vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[VaultUnderTest]:
    """An empty emulated vault, or the one that TEST_KEY_VAULT_URL names."""
    if os.environ.get(EXTERNAL):
        with external_vault() as vault:
            yield vault
        return
    entra: EntraEmulator = request.getfixturevalue("entra")
    emulator: KeyVaultEmulator = request.getfixturevalue("key_vault_emulator")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(entra.ca_path))
    yield emulated_vault(entra, emulator)


@pytest.fixture
def emulated_key_vault(key_vault: VaultUnderTest) -> VaultUnderTest:
    """An emulated vault, for tests that pull its strings."""
    if key_vault.emulated is None:
        pytest.skip(f"{EXTERNAL} names a vault whose faults and roles this test cannot set")
    return key_vault


@pytest.fixture
def app(
    azurite: Azurite, tables: TableStore, tenant_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Services:
    """The app's own objects, on a tenant of the test's own."""
    return app_of(azurite, tenant_id, tmp_path, monkeypatch, PKI_PUBLIC_URL="http://pki.contoso.example")


@pytest.fixture
def run() -> Run:
    """Runs `ca …` or `certs …`; raises what main() would turn into a sentence."""
    return run_command


@pytest.fixture(scope="module")
def receiving_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OddServer]:
    with odd_server(tmp_path_factory.mktemp("receiver")) as running:
        yield running


@pytest.fixture
def receiver(receiving_server: OddServer) -> OddServer:
    """It takes everything, until a test says otherwise."""
    receiving_server.requests.clear()
    receiving_server.answer = lambda _: Reply(204)
    return receiving_server


@pytest.fixture
def office(tables: TableStore, tenant_id: str, tmp_path: Path, receiver: OddServer) -> Office:
    return Office(tables, tenant_id, tmp_path, receiver)
