"""Table and blobs: there, readable, writable; and the log's end as the head says."""

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from shared.cli.checkup.checks import Finding, failed, ok
from shared.directory.backup.restoration import MARKER
from shared.directory.errors import StorageRefused, StorageUnavailable

if TYPE_CHECKING:
    from shared.services import Services

CHECKED_LOG_ROWS = 100


def table(services: "Services") -> Sequence[Finding]:
    """Reads the head, and writes, reads and deletes a row of state."""
    name = services.settings.storage.table

    def look() -> Sequence[Finding]:
        head = services.ledger.head()
        state, probe = f"doctor-{secrets.token_hex(8)}", secrets.token_bytes(16)
        services.state.put(state, probe, etag="")
        try:
            stored = services.state.get(state)
        finally:
            services.state.delete(state)
        if stored is None or stored.data != probe:
            return [failed(f"The table {name} gave back something else than was written to it.")]
        findings = [ok(f"The table {name} can be read and written; the log is at row {head.seq}.")]
        if services.state.get(MARKER) is not None:
            findings.append(
                failed("A restore has begun and not ended.", "Run `manage.py restore` with the same file again.")
            )
        return findings

    return _explained(look, f"table {name}", "Storage Table Data Contributor", f"az storage table create --name {name}")


def blobs(services: "Services") -> Sequence[Finding]:
    """Writes, reads and deletes a blob."""
    name = services.settings.storage.table

    def look() -> Sequence[Finding]:
        blob, probe = f"doctor/{secrets.token_hex(8)}", secrets.token_bytes(64)
        services.blobs.put_new(blob, probe)
        try:
            stored = services.blobs.get(blob)
        finally:
            services.blobs.delete(blob)
        if stored != probe:
            return [failed(f"The container {name} gave back something else than was written to it.")]
        return [ok(f"Blobs can be written to the container {name}, read and deleted.")]

    create = f"az storage container create --name {name}"
    return _explained(look, f"container {name}", "Storage Blob Data Contributor", create)


def log(services: "Services") -> Sequence[Finding]:
    """The last rows of the log, and whether the head goes with them. All of it is for `audit verify`."""
    head = services.ledger.head()
    if head.seq == 0:
        return [ok("The directory is empty.")]
    previous = None
    rows = services.ledger.log(max(0, head.seq - CHECKED_LOG_ROWS), head.seq)
    remedy = "`manage.py audit verify` names all that was altered; then restore a backup, or find out who wrote there."
    for row in rows:
        if row.computed_hash() != row.hash or (previous is not None and previous.hash != row.previous_hash):
            return [failed(f"The log is not intact at {row.key}.", remedy)]
        previous = row
    if previous is None or previous.seq != head.seq or previous.hash != head.last_hash:
        return [failed("The head does not go with the last row of the log.", remedy)]
    count = min(head.seq, CHECKED_LOG_ROWS)
    return [
        ok(f"The last {count} rows of the log follow each other and the head: `manage.py audit verify` checks all.")
    ]


def _explained(look: Callable[[], Sequence[Finding]], what: str, role: str, create: str) -> Sequence[Finding]:
    try:
        return look()
    except ValueError:  # from the SDK, whose own message might repeat a part of it
        return [failed("The connection string of the storage is malformed.", "Copy it anew from the storage account.")]
    except StorageUnavailable as error:
        return [
            failed(
                error.message,
                "Check the connection string or the URLs of the directory's storage, its name resolution, and the "
                "storage account's firewall.",
            )
        ]
    except StorageRefused as error:
        if "does not exist" in error.message or "404" in error.message or "ContainerNotFound" in error.message:
            return [failed(error.message, f"Make the {what}: `{create}` (the deployment does it).")]
        remedy = f"Give this identity the role {role} on the storage account, or correct the key in the settings."
        return [failed(error.message, remedy)]
