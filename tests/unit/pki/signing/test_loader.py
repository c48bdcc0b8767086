"""Backends by name: ours, plug-ins, and what an operator is told about a name that leads nowhere."""

from pathlib import Path

import pytest

from shared.pki.errors import BackendMisconfigured
from shared.pki.signing.base import SigningBackend
from shared.pki.signing.loader import load_backend
from shared.pki.signing.software import SoftwareBackend

SETTINGS = {"CA_SOFTWARE_KEY_PATH": "/nowhere/issuer.pem", "CA_SOFTWARE_KEY_PASSPHRASE": "x" * 20}


class PlugIn(SoftwareBackend):
    """What somebody else's package might hold."""


class HalfAPlugIn(SigningBackend):
    """Keeps none of the contract's promises."""


def test_the_software_backend_is_built_from_settings() -> None:
    assert type(load_backend("software", SETTINGS)) is SoftwareBackend
    assert not Path("/nowhere").exists()


def test_a_plug_in_is_found_by_module_and_class() -> None:
    assert type(load_backend(f"{__name__}:PlugIn", SETTINGS)) is PlugIn


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hardware", "must be one of key_vault, pkcs11, software, or package.module:Class"),
        ("no_such_package.module:Class", "No module named"),
        (f"{__name__}:Missing", "Missing"),
        (f"{__name__}:SETTINGS", "not a whole SigningBackend"),
        (f"{__name__}:HalfAPlugIn", "not a whole SigningBackend"),
        (":", "cannot be loaded"),
    ],
)
def test_a_name_that_leads_nowhere_is_told_with_what_would_be_right(name: str, told: str) -> None:
    with pytest.raises(BackendMisconfigured, match="CA_SIGNING_BACKEND") as caught:
        load_backend(name, SETTINGS)

    assert told in caught.value.message
