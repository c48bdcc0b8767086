"""Every reply that a test of the API sees is held to the API's description."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.stack import ApiClient
from tests.support.described import undescribed


@pytest.fixture(autouse=True)
def _replies_are_as_described(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    send = ApiClient.send
    found: list[str] = []

    def checked(client: ApiClient, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        reply = send(client, request, **kwargs)
        found.extend(undescribed(reply))
        return reply

    monkeypatch.setattr(ApiClient, "send", checked)
    yield
    assert not found, "The API's description (shared/api/openapi) does not say: " + "; ".join(dict.fromkeys(found))
