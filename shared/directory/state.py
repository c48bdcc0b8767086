"""What changes often and is nobody's history: leases, checkpoints, cached signing keys, times of last use.

It lives in a partition of its own beside the tenant's ledger, without log rows.
"""

from dataclasses import dataclass

from shared.directory.errors import ChangeTooLarge, MalformedRow
from shared.directory.rows import check_key, decode_row, encode_row
from shared.directory.tables import TableStore

MAX_BYTES = 720 * 1024
"""As base64 it has to stay below 1 MiB: Azurite counts the JSON, not what it stores."""


@dataclass(frozen=True, slots=True)
class State:
    """A named piece of data; `etag` changes with every write."""

    name: str
    data: bytes
    etag: str


class StateStore:
    """Named data of up to 720 KiB. All methods raise StorageUnavailable and StorageRefused."""

    def __init__(self, tables: TableStore, tenant_id: str) -> None:
        self._tables = tables
        self._partition = f"{tenant_id}|state"

    def get(self, name: str) -> State | None:
        check_key(name)
        entity = self._tables.get(self._partition, name)
        if entity is None:
            return None
        data = decode_row(entity).get("data")
        if not isinstance(data, bytes):
            raise MalformedRow(name, "the state has no data")
        return State(name, data, str(entity["odata.etag"]))

    def put(self, name: str, data: bytes, *, etag: str | None = None) -> State:
        """Writes unconditionally, or only over the state with that `etag`, or (`etag` empty) only if there is none.

        After an unclear answer of the storage service, a success of our own may be reported as StateChanged.
        Raises: StateChanged, ChangeTooLarge.
        """
        check_key(name)
        if len(data) > MAX_BYTES:
            raise ChangeTooLarge(f"The state {name} is larger than {MAX_BYTES} bytes.")
        return State(name, data, self._tables.put(self._partition, name, encode_row({"data": data}), etag))

    def delete(self, name: str) -> None:
        """Nothing happens if it is not there."""
        check_key(name)
        self._tables.delete(self._partition, name)

    def clear(self, *, keep: str) -> None:
        """Deletes all but one."""
        names = [str(entity["RowKey"]) for entity in self._tables.query(self._partition, "", None, only=("Timestamp",))]
        for name in names:
            if name != keep:
                self._tables.delete(self._partition, name)
