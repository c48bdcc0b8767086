"""A day of the app in a minute: every function is called, well and badly, with secrets wherever they can stand."""

import base64
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests
from azure.functions.decorators.timer import TimerTrigger
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_certificates
from cryptography.x509.ocsp import OCSPRequestBuilder

from local.entra.directory_control import DirectoryObject
from local.stack import ABILITY, ApiClient, Stack
from shared.pki.keys import KeyType, generate_key
from tests.support.app_functions import TRIGGERS
from tests.support.pki import make_csr

TIMERS = tuple(name for name, trigger in TRIGGERS.items() if isinstance(trigger, TimerTrigger))


@dataclass
class Workload:
    """What was done to a stack. `secrets`: everything, by what it is, that telemetry must not tell."""

    stack: Stack
    api: ApiClient
    ada: DirectoryObject
    secrets: dict[str, str] = field(default_factory=dict)
    request_ids: dict[str, str] = field(default_factory=dict)
    """Of the successful calls, by what they are."""
    issued: int = 0

    def run(self) -> "Workload":
        self._plant_settings()
        self.call("sync_user", "POST", "sync-user", {"user_principal_name": self.ada.user_principal_name})
        self.call("bulk_sync", "POST", "bulk-sync-users", {"user_principal_names": [self.ada.user_principal_name]})
        self._issue_and_revoke()
        self._read()
        self._misuse()
        for timer in TIMERS:
            self.stack.fire_timer(timer)
        self._public_routes()
        self.call("start_sync", "POST", "sync", {}, 202)
        return self

    def call(
        self, what: str, method: str, path: str, body: Any = None, status: int = 200, **headers: str
    ) -> requests.Response:
        self.request_ids[what] = str(uuid.uuid4())
        sent = {"X-Request-Id": self.request_ids[what], **{name.replace("_", "-"): v for name, v in headers.items()}}
        reply = self.api.request(method, path, json=body, headers=sent)
        assert reply.status_code == status, reply.text
        return reply

    def _plant_settings(self) -> None:
        settings = self.stack.settings
        account_key = settings["AzureWebJobsStorage"].partition("AccountKey=")[2].partition(";")[0]
        self.secrets |= {
            "API token": self.stack.token,
            "Entra token": self.stack.entra.mint_token(user=self.ada, roles=[ABILITY]),
            "client secret": settings["ENTRA_CLIENT_SECRET"],
            "storage key": account_key,
        }

    def _issue_and_revoke(self) -> None:
        self._user_id = self.call("list", "GET", "users?search=ada").json()["data"][0]["id"]
        order = {"user_id": self._user_id}
        pem = self._issue("issue", order)
        self.secrets["private key"] = pem["private_key"].splitlines()[5]
        self._public = pem["certificate"]
        password = self.secrets["PKCS#12 password"] = secrets.token_urlsafe(24)
        packed = self._issue("pkcs12", order | {"format": "pkcs12", "pkcs12_password": password})
        self.secrets["PKCS#12 file"] = packed["pkcs12"][200:280]
        csr = make_csr(generate_key(KeyType.P_256))
        self.secrets["CSR"] = csr.splitlines()[2]
        renewable = self._issue("csr", order | {"csr": csr})["certificate"]["id"]
        held = self._issue("held", order)["certificate"]["id"]
        self.call("renew", "POST", f"certificates/{renewable}/renew", {}, 201)
        self.issued += 1
        self.call("hold", "POST", f"certificates/{held}/revoke", {"reason": "certificateHold"})
        self.call("release", "POST", f"certificates/{held}/release")
        lost = packed["certificate"]["id"]
        self.call("revoke", "POST", f"certificates/{lost}/revoke", {"reason": "keyCompromise", "comment": "lost"})

    def issue(self, what: str) -> dict[str, Any]:
        """One more certificate for the same user."""
        return self._issue(what, {"user_id": self._user_id})

    def _issue(self, what: str, order: dict[str, Any]) -> dict[str, Any]:
        key = self.secrets["idempotency key"] = f"once-{uuid.uuid4()}"
        headers = {"Idempotency_Key": key} if "csr" in order else {}
        issued: dict[str, Any] = self.call(what, "POST", "provision-certificate", order, 201, **headers).json()
        self.issued += 1
        return issued

    def _read(self) -> None:
        one = f"users/{self._user_id}", f"certificates/{self._public['id']}"
        for path in ("health", "sync", "statistics", "certificates", *one):
            self.call(path, "GET", path)
        self.call("expiring", "GET", "expiring-certificates?within_days=365")
        self.call("validate", "POST", "validate-token", {"token": self.secrets["Entra token"]})
        self.call("openapi", "GET", f"{self.stack.url}/api/openapi.json")
        self.call("docs", "GET", f"{self.stack.url}/api/docs")
        self.api.get(f"{self.stack.url}/api/docs/none.js")

    def _misuse(self) -> None:
        """Secrets where they do not belong: other people's log lines are full of those."""
        url = self.stack.url
        for what in ("path", "query", "bearer token", "body field", "broken body", "request id", "invalid token"):
            self.secrets[what] = f"planted-{secrets.token_hex(16)}"
        planted = self.secrets
        bad = {"user_id": "x", "pkcs12_password": planted["body field"]}
        self.call("bad body", "POST", "provision-certificate", bad, 422)
        self.call("invalid", "POST", "validate-token", {"token": planted["invalid token"]}, 401)
        self.api.get(f"{url}/api/{planted['path']}?token={planted['query']}")
        self.api.get("users", params={"access_token": planted["query"], "search": planted["query"]})
        self.api.get("users", headers={"X-Request-Id": f"not well-formed {planted['request id']}"})
        broken = f'{{"x": "{planted["broken body"]}'
        self.api.post("sync-user", data=broken, headers={"Content-Type": "application/json"})
        self.api.get("users", headers={"Authorization": f"Bearer {planted['bearer token']}"})

    def _public_routes(self) -> None:
        pki = f"{self.stack.url}/api/v1/pki/{self._public['issuer_id']}"
        for file in ("ca.crt", "ca.pem", "chain.pem", "crl", "crl.pem"):
            self.call(file, "GET", f"{pki}/{file}")
        leaf = load_pem_x509_certificate(self._public["pem"].encode())
        issuer = load_pem_x509_certificates(self._public["chain_pem"].encode())[0]
        asked = OCSPRequestBuilder().add_certificate(leaf, issuer, SHA256()).build().public_bytes(Encoding.DER)
        self.call("ocsp", "GET", f"{pki}/ocsp/{quote(base64.b64encode(asked), safe='')}")
        posted = requests.post(f"{pki}/ocsp", asked, headers={"Content-Type": "application/ocsp-request"}, timeout=60)
        assert posted.status_code == 200
