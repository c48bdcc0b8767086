"""Which users the directory holds, and a fingerprint of each: what a full listing is compared with.

It lives in a temporary file, so that the memory of a sync does not grow with the tenant. It is as old as its scan;
whatever is decided by it is decided again on the rows themselves, or found by the delta that follows.
"""

import hashlib
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from shared.directory.ledger import Ledger
from shared.directory.records.base import canonical_bytes
from shared.directory.records.user import EntraDeletion, ObjectIdLink, User
from shared.entra.entra_user import EntraUser
from shared.entra.tenant_sync.node_table import packed_id
from shared.entra.user_changes import alive_fields

_NOT_FROM_ENTRA = frozenset(
    {"id", "synced_at", "created_at", "updated_at", "revocation_pending", "purged_at", "deleted_at"}
)
_CHUNK = 500
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4096;
CREATE TABLE users (object_id BLOB PRIMARY KEY, id INTEGER NOT NULL, deletion TEXT, fingerprint BLOB NOT NULL)
    WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user of Entra as the directory has it."""

    object_id: str
    id: int
    deletion: EntraDeletion | None
    fingerprint: bytes


def fingerprint(user: User) -> bytes:
    """Equal for records that say the same about what comes from Entra."""
    row = {name: value for name, value in user.to_row().items() if name not in _NOT_FROM_ENTRA}
    return hashlib.blake2b(canonical_bytes(row), digest_size=12).digest()


def fingerprint_of(user: EntraUser, group_ids: tuple[str, ...], in_scope: bool) -> bytes:
    """The fingerprint of the record that this user will have."""
    values = alive_fields(user, group_ids, in_scope)
    return fingerprint(User(id=0, created_at=_LONG_AGO, updated_at=_LONG_AGO, **values))


class KnownUsers:
    """Object id → what is known. Close it to remove its file."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tenant-sync-")
        self._connection = sqlite3.connect(Path(self._folder.name) / "users.sqlite", isolation_level=None)
        self._connection.executescript(_SCHEMA)

    @classmethod
    def read(cls, ledger: Ledger) -> "KnownUsers":
        """All synchronized users of the ledger."""
        known = cls()
        users = ((user.object_id, user) for user in ledger.scan(User))
        known._insert((name, user.id, user.deletion, fingerprint(user)) for name, user in users if name)
        return known

    @classmethod
    def read_ids(cls, ledger: Ledger) -> "KnownUsers":
        """Their local ids only, for much less."""
        known = cls()
        known._insert((link.object_id, link.user_id, None, b"") for link in ledger.scan(ObjectIdLink))
        return known

    def note(self, users: Iterable[User]) -> None:
        """These records have just been written. If they are listed again they are looked at, so no fingerprint."""
        self._insert((user.object_id, user.id, user.deletion, b"") for user in users if user.object_id)

    def _insert(self, users: Iterable[tuple[str, int, EntraDeletion | None, bytes]]) -> None:
        rows = ((packed_id(object_id), user_id, deletion, mark) for object_id, user_id, deletion, mark in users)
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT OR REPLACE INTO users VALUES (?, ?, ?, ?)", rows)
        self._connection.execute("COMMIT")

    def find(self, object_ids: Sequence[str]) -> dict[str, KnownUser]:
        """Those of these users that are known."""
        found: dict[str, KnownUser] = {}
        packed = [packed_id(object_id) for object_id in object_ids]
        for start in range(0, len(packed), _CHUNK):
            chunk = packed[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            rows = self._connection.execute(f"SELECT * FROM users WHERE object_id IN ({marks})", chunk)  # noqa: S608
            found.update((user.object_id, user) for user in map(_known, rows))
        return found

    def __iter__(self) -> Iterator[KnownUser]:
        """All of them; not to be changed meanwhile."""
        return map(_known, self._connection.execute("SELECT * FROM users"))

    def close(self) -> None:
        self._connection.close()
        self._folder.cleanup()


def _known(row: tuple[bytes, int, str | None, bytes]) -> KnownUser:
    object_id, user_id, deletion, mark = row
    return KnownUser(str(UUID(bytes=object_id)), user_id, EntraDeletion(deletion) if deletion else None, mark)
