"""Links in replies start with the address that callers use, whatever name the app itself is reached by."""

import pytest

from shared.api.public_url import public_url
from shared.settings import Settings
from tests.unit.test_settings import AZURE, LAPTOP, problems

REQUEST = "https://app.azurewebsites.example/api/v1/entra-id/users?search=a%20b&page=2"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        (None, REQUEST),
        ("https://pki.contoso.example", "https://pki.contoso.example/api/v1/entra-id/users?search=a%20b&page=2"),
        ("https://contoso.example/pki", "https://contoso.example/pki/api/v1/entra-id/users?search=a%20b&page=2"),
        ("http://127.0.0.1:7071", "http://127.0.0.1:7071/api/v1/entra-id/users?search=a%20b&page=2"),
    ],
)
def test_the_base_replaces_scheme_and_host_and_may_add_a_path(base: str | None, url: str) -> None:
    assert public_url(REQUEST, base) == url


def test_the_setting_is_https_but_on_a_laptop() -> None:
    over_http = {"API_PUBLIC_URL": "http://127.0.0.1:7071"}

    assert Settings.read(LAPTOP | over_http).api_public_url == "http://127.0.0.1:7071"
    assert Settings.read(AZURE).api_public_url is None
    assert Settings.read(AZURE | {"API_PUBLIC_URL": "https://pki.contoso.example/"}).api_public_url == (
        "https://pki.contoso.example"
    )
    assert problems(AZURE | over_http) == {"API_PUBLIC_URL": "must be an https URL without query."}
