"""The emulator process: one HTTPS server for its controls, and one on a port of its own for each vault, because a
vault's clients allow no path in front of /keys."""

import hmac
import json
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local import tls
from local.entra.faults import Fault
from local.https_server import HttpsServer, Reply, Request
from local.key_vault.bearer import Authority
from local.key_vault.errors import VaultError
from local.key_vault.request_bodies import apply_attributes
from local.key_vault.vault import Vault

PREFIX = "/_control/"
Arguments = dict[str, Any]


class KeyVaultServer:
    """`tls_folder` may be another emulator's: then one root vouches for both."""

    def __init__(self, tls_folder: Path, control_key: str, port: int = 0) -> None:
        self.files = tls.ensure(tls_folder)
        self._control_key = control_key
        self._context = self.files.server_context()
        self._server = HttpsServer(self._answer, self._context, port)
        self.url = self._server.url
        self._vaults: dict[str, Vault] = {}

    def serve(self) -> None:
        self._server.serve()

    def stop(self) -> None:
        self._server.stop()

    def _answer(self, request: Request) -> Reply:
        given = request.headers.get("x-control-key", "")
        if not hmac.compare_digest(given.encode(), self._control_key.encode()):
            return Reply.json({"error": "the control key is missing or wrong"}, 403)
        verb = request.path.removeprefix(PREFIX)
        try:
            arguments = json.loads(request.body or b"{}")
            if verb == "vaults.create":
                return Reply.json({"result": self._create(arguments)})
            result = VERBS[verb](self._vaults[arguments.pop("tenant")], arguments)
        except (VaultError, LookupError, TypeError, ValueError, OSError) as error:
            return Reply.json({"error": f"{verb}: {type(error).__name__}: {error}"}, 400)
        return Reply.json({"result": result})

    def _create(self, arguments: Arguments) -> dict[str, str]:
        """A new vault whose tokens come from `authority`, on `port` (0: a free one)."""
        vault = Vault(Authority(arguments["authority"], self.files.root))
        server = HttpsServer(vault.answer, self._context, arguments["port"])
        vault.url = server.url
        identifier = str(uuid.uuid4())
        self._vaults[identifier] = vault
        threading.Thread(target=server.serve, name=f"vault {identifier}", daemon=True).start()
        return {"id": identifier, "url": vault.url}


def _assign(vault: Vault, arguments: Arguments) -> None:
    vault.roles.assign(arguments["object_id"], arguments["roles"])


def _set_attributes(vault: Vault, arguments: Arguments) -> None:
    version = vault.keys.get(arguments["name"], arguments["version"])
    apply_attributes(version.attributes, arguments["attributes"])


def _arm(vault: Vault, arguments: Arguments) -> int:
    return vault.faults.arm(Fault.from_json(arguments["fault"]))


def _disarm(vault: Vault, arguments: Arguments) -> None:
    vault.faults.disarm(arguments["number"])


def _struck(vault: Vault, arguments: Arguments) -> int:
    return vault.faults.struck(arguments["number"])


def _signatures(vault: Vault, _: Arguments) -> list[dict[str, Any]]:
    return vault.signatures.to_json()


def _traffic(vault: Vault, _: Arguments) -> dict[str, Any]:
    return vault.traffic.summary()


def _log(vault: Vault, _: Arguments) -> list[dict[str, Any]]:
    return vault.traffic.log()


def _reset_traffic(vault: Vault, _: Arguments) -> None:
    vault.traffic.reset()


VERBS: dict[str, Callable[[Vault, Arguments], Any]] = {
    "roles.assign": _assign,
    "keys.set_attributes": _set_attributes,
    "faults.arm": _arm,
    "faults.disarm": _disarm,
    "faults.struck": _struck,
    "signatures": _signatures,
    "traffic.summary": _traffic,
    "traffic.log": _log,
    "traffic.reset": _reset_traffic,
}
