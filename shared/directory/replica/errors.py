"""Why the replica cannot answer just now."""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import timedelta

from shared.errors import AppError


class ReplicaBuilding(AppError):
    """The instance is young and its replica is still being built (503). The table itself is intact."""

    status, code = 503, "replica_building"

    def __init__(self, message: str = "The search index of this instance is being built; try again shortly.") -> None:
        super().__init__(message, retry_after=timedelta(seconds=5))


class ReplicaUnavailable(AppError):
    """The instance cannot keep a replica at all (503): no space left, no FTS5. The message says what to do."""

    status, code = 503, "replica_unavailable"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=timedelta(seconds=60))


DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_SPACE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is not, or no longer, a sound SQLite file; building another helps."""
    return _primary_code(error) in DAMAGE


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turns what the file system says while a replica is written into what an operator can act on."""
    try:
        yield
    except OSError as error:
        raise ReplicaUnavailable(f"{_CANNOT_WRITE} ({error.strerror or type(error).__name__}). {_ADVICE}") from error
    except sqlite3.DatabaseError as error:
        if _primary_code(error) == sqlite3.SQLITE_BUSY:
            raise ReplicaBuilding from error
        if _primary_code(error) in _NO_SPACE:
            raise ReplicaUnavailable(f"{_CANNOT_WRITE} ({error}). {_ADVICE}") from error
        raise


_CANNOT_WRITE = "The instance's temporary folder does not take the search index"
_ADVICE = "It needs some 400 MB of free space for a million users."


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
