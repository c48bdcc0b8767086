"""The Azurite launcher."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from local.azurite.azurite import Azurite
from local.processes import REPOSITORY


def test_tables_and_blobs_are_kept_between_two_runs_on_one_folder(tmp_path: Path) -> None:
    with Azurite.start(tmp_path) as first:
        tables = TableServiceClient.from_connection_string(first.connection_string)
        tables.create_table("kept").create_entity({"PartitionKey": "a", "RowKey": "b"})
        blobs = BlobServiceClient.from_connection_string(first.connection_string, api_version="2024-11-04")
        blobs.create_container("kept").upload_blob("blob", b"content")

    with Azurite.start(tmp_path) as second:
        table = TableServiceClient.from_connection_string(second.connection_string).get_table_client("kept")
        assert table.get_entity("a", "b")["RowKey"] == "b"
        blobs = BlobServiceClient.from_connection_string(second.connection_string, api_version="2024-11-04")
        assert blobs.get_blob_client("kept", "blob").download_blob().readall() == b"content"


def test_it_is_gone_after_stop() -> None:
    with Azurite.start() as azurite:
        client = TableServiceClient.from_connection_string(azurite.connection_string, retry_total=0)
        assert list(client.list_tables()) == []

    with pytest.raises(ServiceRequestError):
        list(client.list_tables())


def test_it_ends_when_the_program_that_started_it_is_killed() -> None:
    program = (
        "import os; from local.azurite.azurite import Azurite; azurite = Azurite.start(); "
        "print(azurite.process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    parent = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, check=False)

    assert parent.returncode == -9
    assert _gone(int(parent.stdout), seconds=10)


def _gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return True
        time.sleep(0.05)
    return False
