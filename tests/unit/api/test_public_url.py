"""Links in replies start with the address that callers use, whatever name the app itself is reached by."""

import pytest

from shared.api.public_url import public_url

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
