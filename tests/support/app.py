"""The app's own objects, as its settings make them, for tests that need no host in front of them."""

from pathlib import Path

import pytest

import shared.services
from local.azurite.azurite import Azurite
from shared.services import Services
from shared.settings import Settings
from tests.support.pki import PASSPHRASE


def app_of(
    azurite: Azurite, tenant_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: str
) -> Services:
    """The objects that functions and commands use from now on. The CA's key goes under `folder`.

    Args:
        settings: beyond, or instead of, those of a laptop.
    """
    environment = {
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "AzureWebJobsStorage": azurite.connection_string,
        "ENTRA_TENANT_ID": tenant_id,
        "ENTRA_CLIENT_ID": "11111111-1111-4111-8111-111111111111",
        "ENTRA_CLIENT_SECRET": "not used here",
        "CA_SOFTWARE_KEY_PATH": str(folder / "ca" / "issuer.pem"),
        "CA_SOFTWARE_KEY_PASSPHRASE": PASSPHRASE,
        **settings,
    }
    built = Services(Settings.read(environment))
    monkeypatch.setattr(shared.services, "services", lambda: built)
    return built
