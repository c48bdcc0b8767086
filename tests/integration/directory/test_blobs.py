"""Blobs on a real blob service: written once, checked on the way back."""

import uuid
from pathlib import Path

import pytest

from local.azurite.azurite import Azurite
from shared.directory.blobs import CHUNK, Blob, BlobConflict, BlobDamaged, BlobStore, file_sha256
from shared.directory.errors import StorageRefused, StorageUnavailable


@pytest.fixture
def blobs(azurite: Azurite) -> BlobStore:
    store = BlobStore.from_connection_string(azurite.connection_string, f"test-{uuid.uuid4()}")
    store.create_if_missing()
    store.create_if_missing()
    return store


def test_what_was_put_comes_back_and_is_listed_by_prefix(blobs: BlobStore) -> None:
    stored = blobs.put_new("crl/ab/2", b"two")
    blobs.put_new("crl/ab/1", b"")
    blobs.put_new("other/1", b"other")

    assert blobs.get("crl/ab/2") == b"two"
    assert blobs.get("crl/ab/1") == b""
    assert [blob.name for blob in blobs.list("crl/")] == ["crl/ab/1", "crl/ab/2"]
    assert list(blobs.list("crl/ab/2")) == [stored]


def test_a_name_is_written_once(blobs: BlobStore) -> None:
    blobs.put_new("name", b"first")

    assert blobs.put_new("name", b"first").size == 5
    with pytest.raises(BlobConflict):
        blobs.put_new("name", b"second")
    assert blobs.get("name") == b"first"


def test_a_file_of_many_blocks_goes_up_and_down_without_change(blobs: BlobStore, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * (CHUNK // 100))

    stored = blobs.put_new("large", large)

    assert stored == Blob("large", large.stat().st_size, file_sha256(large))
    assert blobs.download("large", tmp_path / "back") == stored
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    with pytest.raises(BlobConflict):
        blobs.put_new("large", b"small")


def test_what_is_not_there_is_none_and_deleting_it_does_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.put_new("name", b"x")
    blobs.delete("name")
    blobs.delete("name")

    assert blobs.get("name") is None
    assert blobs.download("name", tmp_path / "file") is None
    assert list(blobs.list("")) == []


def test_altered_content_is_noticed(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.put_new("name", b"right")
    blobs._client.upload_blob("name", b"wrong", overwrite=True, metadata={"sha256": file_sha256(Path(__file__))})

    with pytest.raises(BlobDamaged):
        blobs.get("name")
    with pytest.raises(BlobDamaged):
        blobs.download("name", tmp_path / "file")


def test_a_missing_container_and_a_dead_service_are_named(azurite: Azurite, free_port: int) -> None:
    missing = BlobStore.from_connection_string(azurite.connection_string, f"test-{uuid.uuid4()}")
    with pytest.raises(StorageRefused, match="container does not exist"):
        missing.get("name")

    dead = BlobStore.from_connection_string(
        azurite.connection_string.replace(str(azurite.blob_port), str(free_port)), "test"
    )
    with pytest.raises(StorageUnavailable, match="did not answer"):
        dead.put_new("name", b"x")


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
