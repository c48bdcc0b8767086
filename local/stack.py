"""The app on a laptop's own cloud: Azurite for storage, the Entra emulator for Entra ID and Graph, the functions host.

The demo, `make run` and the tests all start their stack here. A stack keeps everything it writes in one folder.
"""

import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from local.azurite.azurite import FREE_PORTS, Azurite
from local.entra.control import EntraEmulator
from local.entra.tenant_control import Tenant
from local.functions_host.process import HostProcess
from local.key_vault.control import KeyVaultEmulator, Vault
from local.processes import REPOSITORY, ChildProcess

API = "/api/v1/entra-id"
ABILITY = "manage-entra-integration"
AUTHORITY = "Laptop user CA"
SOFTWARE, KEY_VAULT = BACKENDS = ("software", "key_vault")
HEALTH_TIMEOUT = timedelta(seconds=30)
REQUEST_TIMEOUT = timedelta(seconds=240)
COMMAND_TIMEOUT = timedelta(minutes=3)
BLOB_API_VERSION = "2024-11-04"  # the SDK's default is ahead of what Azurite takes

# What a developer's shell may set for another app or another cloud; it must not reach this one.
OWN_PREFIXES = (
    *("API_", "ENTRA_", "GRAPH_", "CA_", "PKI_", "DIRECTORY_", "AZURE_", "AzureWebJobs", "FUNCTIONS_", "PYTHON_"),
    *("WEBSITE_", "IDENTITY_", "MSI_", "APPLICATIONINSIGHTS_", "OTEL_", "TELEMETRY_", "LOG_"),
)
TRUST = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


class StackFailed(RuntimeError):
    """A part of the stack did not do what it should; the message carries what it said."""


class ApiClient(requests.Session):
    """A session with a bearer token whose relative URLs start at the API's base: `api.get("users")`."""

    def __init__(self, url: str, token: str | None) -> None:
        super().__init__()
        self.base = f"{url}{API}/"
        self.trust_env = False
        if token is not None:
            self.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", REQUEST_TIMEOUT.total_seconds())
        target = str(url) if str(url).startswith("http") else self.base + str(url)
        return super().request(method, target, *args, **kwargs)


class Stack:
    """One tenant's app: its settings, its certificate authority, its functions host.

    Args:
        folder: where settings, keys, logs and caches go.
        settings: app settings beyond, or instead of, those of the stack.
        host_port: where the functions host will listen; a free port unless given.
    """

    def __init__(
        self,
        azurite: Azurite,
        entra: EntraEmulator,
        tenant: Tenant,
        folder: Path,
        settings: Mapping[str, str] = {},
        host_port: int | None = None,
    ) -> None:
        self.azurite = azurite
        self.entra = tenant
        self.folder = folder
        self.host_port = host_port or free_port()
        public = {"PKI_PUBLIC_URL": f"http://127.0.0.1:{self.host_port}"}
        self.settings = app_settings(azurite, entra, tenant, folder) | public | dict(settings)
        self.environment = clean_environment(folder) | self.settings
        self.settings_file = folder / "local.settings.json"
        self._host: HostProcess | None = None
        self._token: str | None = None
        write_settings_file(self.settings_file, self.settings)

    @property
    def host(self) -> HostProcess:
        assert self._host is not None, "start_host comes first"
        return self._host

    @property
    def url(self) -> str:
        """Where the functions host listens, without a path."""
        return self.host.url

    @property
    def token(self) -> str:
        """An API token that may do everything."""
        assert self._token is not None, "create_token comes first"
        return self._token

    @property
    def api(self) -> ApiClient:
        """A new client that holds the token."""
        return ApiClient(self.url, self.token)

    def create_storage(self) -> None:
        """Makes the table and the blob container, which in Azure the infrastructure code makes."""
        from azure.data.tables import TableServiceClient
        from azure.storage.blob import BlobServiceClient

        connection, name = self.azurite.connection_string, self.settings.get("DIRECTORY_TABLE", "directory")
        TableServiceClient.from_connection_string(connection).create_table_if_not_exists(name)
        blobs = BlobServiceClient.from_connection_string(connection, api_version=BLOB_API_VERSION)
        if not blobs.get_container_client(name).exists():
            blobs.create_container(name)

    def create_authority(self) -> None:
        """Makes the CA and its first CRL, which in Azure a timer publishes within a minute."""
        self.manage("ca", "init", "--name", AUTHORITY)
        self.manage("crl", "publish")

    def create_token(self, name: str = "laptop") -> str:
        """Makes an API token, which `token` and `api` use from now on."""
        created = json.loads(self.manage("token", "create", "--name", name, "--ability", ABILITY, "--json"))
        self._token = str(created["token"])
        return self._token

    def start_host(self) -> None:
        """Starts the functions host and waits until the app says that it can work.

        Raises: ChildFailed, StackFailed.
        """
        self._host = HostProcess.start(
            environment=self.environment,
            port=self.host_port,
            arguments=["--settings", str(self.settings_file)],
            log=self.folder / "functions-host.log",
        )
        deadline = time.monotonic() + HEALTH_TIMEOUT.total_seconds()
        while (reply := ApiClient(self.url, self._token).get("health")).status_code != 200:
            if time.monotonic() > deadline:
                raise StackFailed(f"The app is not healthy: {reply.text}\nIts log: {self.folder}/functions-host.log")
            time.sleep(0.2)

    def manage(self, *arguments: str) -> str:
        """Runs `python manage.py …` on this stack and returns what it printed.

        Raises: StackFailed with its error output, unless it exits with 0.
        """
        done = subprocess.run(
            [sys.executable, "manage.py", "--settings", str(self.settings_file), *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT.total_seconds(),
        )
        if done.returncode != 0:
            raise StackFailed(f"manage.py {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def fire_timer(self, name: str, timeout: timedelta = REQUEST_TIMEOUT) -> None:
        """Runs a timer function now and returns when it has ended.

        Raises: StackFailed when it raised, or did not end in time.
        """
        wait = {"Prefer": f"wait={timeout.total_seconds():.0f}"}
        reply = requests.post(f"{self.url}/admin/functions/{name}", headers=wait, timeout=timeout.total_seconds() + 10)
        if reply.status_code != 204:
            raise StackFailed(f"The timer {name} ended with {reply.status_code}:\n{self.host.process.tail}")

    def stop(self) -> None:
        if self._host is not None:
            self._host.stop()


@contextmanager
def running_stack(
    azurite: Azurite,
    entra: EntraEmulator,
    tenant: Tenant,
    folder: Path,
    settings: Mapping[str, str] = {},
    host_port: int | None = None,
) -> Iterator[Stack]:
    """A complete stack for the tenant: storage, authority, API token, and the host up and healthy."""
    stack = Stack(azurite, entra, tenant, folder, settings, host_port)
    try:
        stack.create_storage()
        stack.create_authority()
        stack.create_token()
        stack.start_host()
        yield stack
    finally:
        stack.stop()


@dataclass(frozen=True)
class Cloud:
    """The emulators under a stack, and what the app must be told about them."""

    azurite: Azurite
    entra: EntraEmulator
    tenant: Tenant
    settings: Mapping[str, str]
    processes: tuple[ChildProcess, ...]


@contextmanager
def running_cloud(
    folder: Path,
    backend: str,
    *,
    azurite_ports: tuple[int, int, int] = FREE_PORTS,
    entra_port: int = 0,
    tenant_id: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
) -> Iterator[Cloud]:
    """Azurite, the Entra emulator with one empty tenant and, for the backend `key_vault`, the Key Vault emulator."""
    with ExitStack() as ends:
        azurite = ends.enter_context(Azurite.start(ports=azurite_ports, log=folder / "azurite.log"))
        entra = ends.enter_context(EntraEmulator.start(folder / "entra", entra_port))
        tenant = entra.new_tenant(tenant_id, client_id=client_id, client_secret=client_secret)
        if backend != KEY_VAULT:
            yield Cloud(azurite, entra, tenant, {}, (azurite.process, entra.process))
            return
        key_vault = ends.enter_context(KeyVaultEmulator.start(entra))
        settings = key_vault_settings(key_vault.new_vault(tenant))
        yield Cloud(azurite, entra, tenant, settings, (azurite.process, entra.process, key_vault.process))


def app_settings(azurite: Azurite, entra: EntraEmulator, tenant: Tenant, folder: Path) -> dict[str, str]:
    """The app settings (docs/settings.md) of a stack on these emulators."""
    bundle = str(entra.ca_bundle_path)
    return {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "PYTHON_THREADPOOL_THREAD_COUNT": "16",
        "AzureWebJobsStorage": azurite.connection_string,
        "ENTRA_TENANT_ID": tenant.id,
        "ENTRA_CLIENT_ID": tenant.client_id,
        "ENTRA_CLIENT_SECRET": tenant.client_secret,
        "ENTRA_AUTHORITY_HOST": entra.url,
        "GRAPH_BASE_URL": tenant.graph_url,
        "ENTRA_SYNC_SCHEDULE": "0 0 0 1 1 *",  # once a year: a stack's owner fires the timer
        "CA_SIGNING_BACKEND": "software",
        "CA_SOFTWARE_KEY_PATH": str(folder / "ca" / "issuer.pem"),
        "CA_SOFTWARE_KEY_PASSPHRASE": secrets.token_urlsafe(24),
        "REQUESTS_CA_BUNDLE": bundle,
        "SSL_CERT_FILE": bundle,
    }


def key_vault_settings(vault: Vault, key: str = "user-ca") -> dict[str, str]:
    """The app settings that move the CA's keys into an emulated vault, reached as the tenant's app."""
    return {
        "CA_SIGNING_BACKEND": "key_vault",
        "CA_KEY_VAULT_URL": vault.url,
        "CA_KEY_VAULT_KEY": key,
        "CA_KEY_VAULT_VERIFY_CHALLENGE": "false",
    }


def free_port() -> int:
    """A port that nobody listens on. It goes into certificates before the host that will answer there can start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def clean_environment(folder: Path) -> dict[str, str]:
    """This process's environment without what is meant for other apps; temporary files go under `folder`."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(OWN_PREFIXES) and name not in TRUST
    }
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    loopback = ",".join(filter(None, (kept.get("NO_PROXY"), "127.0.0.1", "localhost")))
    return kept | {"TMPDIR": str(temporary), "NO_PROXY": loopback, "no_proxy": loopback}


@contextmanager
def empty_folder(folder: Path) -> Iterator[Path]:
    """The folder, emptied, and this process's own until the end.

    Raises: StackFailed when another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackFailed(f"Another stack is running in {folder}; end it first, or name another folder.") from None
        shutil.rmtree(folder)
        folder.mkdir()
        yield folder.resolve()


def write_settings_file(path: Path, values: Mapping[str, str]) -> None:
    """A local.settings.json with these values; readable by its owner only, for it holds a secret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"IsEncrypted": False, "Values": dict(values)}, indent=2) + "\n", encoding="utf-8")
