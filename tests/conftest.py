"""What every test may ask for: a real Azurite, a ledger of its own on it, the Entra emulator, the whole app."""

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from local.azurite.azurite import Azurite
from local.entra.control import EntraEmulator
from local.stack import Stack, running_stack

if TYPE_CHECKING:
    from shared.directory.ledger import Ledger
    from shared.directory.tables import TableStore


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Microsoft's storage emulator, in memory, on free ports; one for the whole run."""
    with Azurite.start() as running:
        yield running


@pytest.fixture(scope="session")
def entra() -> Iterator[EntraEmulator]:
    """The Entra and Graph emulator, over HTTPS on a free port; tests keep apart by tenant."""
    with EntraEmulator.start() as running:
        yield running


@pytest.fixture(scope="session")
def tables(azurite: Azurite) -> "TableStore":
    """The table `directory` on Azurite; tests share it and keep apart by tenant id, which is its partition."""
    from shared.directory.tables import TableStore

    store = TableStore.from_connection_string(azurite.connection_string, "directory")
    store.create_if_missing()
    return store


@pytest.fixture
def tenant_id() -> str:
    """A tenant of the test's own: an empty partition."""
    return str(uuid.uuid4())


@pytest.fixture
def ledger(tables: "TableStore", tenant_id: str) -> "Ledger":
    """An empty ledger."""
    from shared.directory.ledger import Ledger

    return Ledger(tables, tenant_id)


@pytest.fixture(scope="module")
def stack(azurite: Azurite, entra: EntraEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The app over HTTP, with a tenant, a certificate authority and an API token of its own; one for each module."""
    tenant = entra.new_tenant()
    with running_stack(azurite, entra, tenant, tmp_path_factory.mktemp("stack")) as running:
        yield running
