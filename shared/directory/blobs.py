"""Azure Blob Storage as this app uses it: large things under names that are written once and never changed.

Each blob carries its SHA-256, which is checked on the way back. What a name means is the business of the row or state
that points to it.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.directory.errors import StorageRefused, StorageUnavailable

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.storage.blob import ContainerClient

API_VERSION = "2024-11-04"
"""The newest that Azurite 3.37 accepts; the SDK's own default is ahead of it."""
CONNECT_TIMEOUT = timedelta(seconds=3)
READ_TIMEOUT = timedelta(seconds=30)
RETRIES = 3
PARALLEL_BLOCKS = 4
CHUNK = 4 * 1024 * 1024
_SHA256 = "sha256"


class BlobConflict(StorageRefused):
    """The name is taken by something else: two writers meant different things by it."""

    status, code = 500, "blob_conflict"

    def __init__(self, name: str) -> None:
        super().__init__(f"The blob {name} exists already, with other content.")


class BlobDamaged(StorageRefused):
    """What came back is not what was stored."""

    status, code = 500, "blob_damaged"

    def __init__(self, name: str) -> None:
        super().__init__(f"The blob {name} is not what was stored: its SHA-256 is another.")


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored blob: its length in bytes, and the SHA-256 of its content in lower-case hex."""

    name: str
    size: int
    sha256: str


class BlobStore:
    """One container. Safe to share between threads. Everything raises StorageUnavailable and StorageRefused."""

    def __init__(self, connect: "Callable[[], ContainerClient]") -> None:
        """`connect` waits for the first use: most instances never need a blob, and the SDK takes long to import."""
        self._connect = connect

    @classmethod
    def from_connection_string(cls, connection_string: str, container: str) -> "BlobStore":
        def connect() -> "ContainerClient":
            from azure.storage.blob import ContainerClient

            return ContainerClient.from_connection_string(connection_string, container, **_options())

        return cls(connect)

    @classmethod
    def from_endpoint(cls, url: str, container: str, credential: "TokenCredential") -> "BlobStore":
        """`url`: the account's blob endpoint."""

        def connect() -> "ContainerClient":
            from azure.storage.blob import ContainerClient

            return ContainerClient(url, container, credential=credential, **_options())

        return cls(connect)

    @cached_property
    def _client(self) -> "ContainerClient":
        return self._connect()

    def create_if_missing(self) -> None:
        """Creates the container."""
        from azure.core.exceptions import ResourceExistsError

        with _translated():
            try:
                self._client.create_container()
            except ResourceExistsError:
                return

    def exists(self) -> bool:
        """Whether the container is there."""
        with _translated():
            return bool(self._client.exists())

    def put_new(self, name: str, data: bytes | Path) -> Blob:
        """Stores bytes, or a file, under a name that is not taken; the same content again does no harm.

        Raises: BlobConflict.
        """
        from azure.core.exceptions import ResourceExistsError

        if isinstance(data, bytes):
            blob = Blob(name, len(data), hashlib.sha256(data).hexdigest())
        else:
            blob = Blob(name, data.stat().st_size, file_sha256(data))
        try:
            with _translated():
                self._upload(blob, data)
        except ResourceExistsError:  # perhaps by us: a request that was carried out and repeated after a lost answer
            if self._sha256_of(name) != blob.sha256:
                raise BlobConflict(name) from None
        return blob

    def get(self, name: str) -> bytes | None:
        """The content; None where there is no such blob. Raises: BlobDamaged."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            with _translated():
                download = self._client.download_blob(name)
                data = download.readall()
        except ResourceNotFoundError:
            return None
        if hashlib.sha256(data).hexdigest() != (download.properties.metadata or {}).get(_SHA256):
            raise BlobDamaged(name)
        return data

    def download(self, name: str, path: Path) -> Blob | None:
        """Writes the content to a new file, without holding it in memory; None where there is no such blob.

        Raises: BlobDamaged; OSError where the file cannot be written.
        """
        from azure.core.exceptions import ResourceNotFoundError

        digest, size = hashlib.sha256(), 0
        try:
            with _translated():
                download = self._client.download_blob(name, max_concurrency=1)
                with path.open("xb") as file:
                    for chunk in download.chunks():
                        digest.update(chunk)
                        size += file.write(chunk)
        except ResourceNotFoundError:
            return None
        if digest.hexdigest() != (download.properties.metadata or {}).get(_SHA256):
            raise BlobDamaged(name)
        return Blob(name, size, digest.hexdigest())

    def list(self, prefix: str) -> Iterator[Blob]:
        """The blobs whose names start so, by name."""
        with _translated():
            for found in self._client.list_blobs(name_starts_with=prefix, include=["metadata"]):
                yield Blob(found.name, found.size, (found.metadata or {}).get(_SHA256, ""))

    def delete(self, name: str) -> None:
        """Deletes the blob, if it is there."""
        from azure.core.exceptions import ResourceNotFoundError

        with _translated():
            try:
                self._client.delete_blob(name)
            except ResourceNotFoundError:
                return

    def _upload(self, blob: Blob, data: bytes | Path) -> None:
        arguments: dict[str, Any] = {
            "overwrite": False,
            "length": blob.size,
            "metadata": {_SHA256: blob.sha256},
            "max_concurrency": PARALLEL_BLOCKS,
        }
        if isinstance(data, bytes):
            self._client.upload_blob(blob.name, data, **arguments)
        else:
            with data.open("rb") as file:
                self._client.upload_blob(blob.name, file, **arguments)

    def _sha256_of(self, name: str) -> str | None:
        with _translated():
            return (self._client.get_blob_client(name).get_blob_properties().metadata or {}).get(_SHA256)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _translated() -> Iterator[None]:
    """Turns the SDK's errors into ours; "exists" and "not found" are left to the caller, who knows what they mean."""
    from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError, ResourceNotFoundError

    try:
        yield
    except (ResourceExistsError, ResourceNotFoundError) as error:
        if getattr(error, "error_code", None) == "ContainerNotFound":
            raise StorageRefused("The blob container does not exist.") from error
        raise
    except HttpResponseError as error:
        if error.status_code is None or error.status_code >= 500 or error.status_code in (408, 429):
            raise StorageUnavailable(f"The blob service is busy or failing ({error.status_code}).") from error
        code = getattr(error, "error_code", None) or ""
        raise StorageRefused(
            f"The blob service refused the request: {error.status_code} {code}".strip() + "."
        ) from error
    except AzureError as error:
        raise StorageUnavailable(f"The blob service did not answer ({type(error).__name__}).") from error


def _options() -> dict[str, Any]:
    from azure.storage.blob import LinearRetry

    return {
        "api_version": API_VERSION,
        "connection_timeout": CONNECT_TIMEOUT.total_seconds(),
        "read_timeout": READ_TIMEOUT.total_seconds(),
        "retry_policy": LinearRetry(backoff=1, retry_total=RETRIES, random_jitter_range=1),
        "max_block_size": CHUNK,
        "max_single_put_size": CHUNK,
        "max_single_get_size": CHUNK,
        "max_chunk_get_size": CHUNK,
        "logging_enable": False,
    }
