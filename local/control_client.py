"""Calls an emulator's control interface over HTTPS, trusting its root and nothing that the environment names."""

import json
from pathlib import Path
from typing import Any

import urllib3


class ControlError(Exception):
    """The emulator refused a control call."""


class ControlClient:
    """Thread-safe; one pool of connections."""

    def __init__(self, url: str, ca_path: Path, key: str) -> None:
        self._url = f"{url}/_control/"
        self._key = key
        self._pool = urllib3.PoolManager(ca_certs=str(ca_path), maxsize=8, retries=False)

    def call(self, verb: str, **arguments: Any) -> Any:
        """The result of one control call. Raises ControlError with the emulator's sentence."""
        body = json.dumps(arguments).encode()
        reply = self._pool.request("POST", self._url + verb, body=body, headers={"X-Control-Key": self._key})
        answer = reply.json()
        if reply.status != 200:
            raise ControlError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        self._pool.clear()


class TenantCalls:
    """Base of what is controlled tenant by tenant: adds the tenant's id to each call."""

    def __init__(self, client: ControlClient, tenant_id: str) -> None:
        self._client = client
        self.id = tenant_id

    def _call(self, verb: str, **arguments: Any) -> Any:
        return self._client.call(verb, tenant=self.id, **arguments)
