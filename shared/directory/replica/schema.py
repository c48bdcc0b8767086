"""The tables of a replica file, and how a connection to one is set up.

`users` holds what a list item shows. `listing` holds, of the same users, only what they are filtered, searched and
ordered by, so that a scan reads little. Moments are microseconds since 1970, UTC; GUIDs and hex strings are packed.
An email that equals the UPN is stored as SAME_AS_UPN, a UPN that folding leaves as it is as AS_FOLDED. `purges` holds
the log rows by which data were erased since the file was made.
"""

import sqlite3
import unicodedata
import zlib
from datetime import timedelta
from pathlib import Path

from shared.directory.replica.errors import ReplicaUnavailable

APPLICATION_ID = 0x45504B52
"""Says in the file's header that it is one of ours (https://www.sqlite.org/pragma.html#pragma_application_id)."""

SAME_AS_UPN = 1
AS_FOLDED = 2

OLDEST_SQLITE = (3, 34)
"""Has FTS5's trigram tokenizer (https://www.sqlite.org/releaselog/3_34_0.html)."""

BUSY_TIMEOUT = timedelta(seconds=10)
CACHE_KIB = 8 * 1024

TABLES = """
CREATE TABLE position (
    tenant_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL,
    users_hash TEXT NOT NULL
);

CREATE TABLE purges (seq INTEGER PRIMARY KEY);

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    object_id BLOB NOT NULL,
    user_principal_name,
    name TEXT NOT NULL,
    email,
    user_type TEXT,
    deleted_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

CREATE TABLE domains (domain TEXT PRIMARY KEY, marker TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE listing (
    id INTEGER PRIMARY KEY,
    is_active INTEGER NOT NULL,
    synced_at INTEGER NOT NULL,
    markers INTEGER NOT NULL,
    folded TEXT NOT NULL
);

CREATE VIRTUAL TABLE trigrams USING fts5(
    folded, content = '', columnsize = 0, tokenize = 'trigram case_sensitive 1'
);
CREATE VIRTUAL TABLE trigram_vocabulary USING fts5vocab(trigrams, 'row');

CREATE TABLE blocks (
    sort TEXT NOT NULL,
    value NOT NULL,
    id INTEGER NOT NULL,
    size INTEGER NOT NULL,
    active INTEGER NOT NULL,
    PRIMARY KEY (sort, value, id)
) WITHOUT ROWID;

CREATE TABLE user_counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE groups (object_id BLOB PRIMARY KEY, display_name TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE issuers (
    number INTEGER PRIMARY KEY,
    issuer_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    UNIQUE (issuer_id, issuer)
);

CREATE TABLE certificates (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    user_id INTEGER,
    certificate_type TEXT,
    status TEXT NOT NULL,
    issuer_number INTEGER NOT NULL,
    serial_number BLOB NOT NULL,
    subject TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    key_type TEXT NOT NULL,
    key_size INTEGER NOT NULL,
    key_origin TEXT NOT NULL,
    user_principal_name TEXT,
    email TEXT,
    fingerprint BLOB,
    issued_at INTEGER,
    revoked_at INTEGER,
    revocation_reason TEXT,
    revocation_source TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    renews INTEGER,
    renewed_by INTEGER,
    notice_days INTEGER,
    noticed_at INTEGER
);

CREATE TABLE certificate_counts (
    issuer_number INTEGER NOT NULL,
    status TEXT NOT NULL,
    certificate_type TEXT NOT NULL,
    revocation_reason TEXT NOT NULL,
    day INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (issuer_number, status, certificate_type, revocation_reason, day)
) WITHOUT ROWID;
"""

ROWS = (
    *("position", "users", "domains", "listing", "blocks", "user_counts", "groups", "issuers", "certificates"),
    "certificate_counts",
)
"""The tables that are what a file says; `trigrams` follows from `listing`, and a new file has seen no `purges`."""

REASON = "CASE status WHEN 'held' THEN 'certificateHold' ELSE coalesce(revocation_reason, 'unspecified') END"
"""Why a certificate is revoked; one on hold is on certificateHold, whatever led to it."""

NOTICED_DAYS = "coalesce(notice_days, (not_after - not_before + 1000000) / 86400000000)"
"""Expiry notices for fewer days than these are still to come: a certificate has none for its whole life or more."""

FOLDED_NAME = "substr(listing.folded, 1, instr(listing.folded, char(10)) - 1)"
"""The folded name: what comes before the first FIELD_END of `text_folding.searchable_text`."""

INDEXES = (
    f"CREATE INDEX listing_by_name ON listing ({FOLDED_NAME.replace('listing.', '')})",
    "CREATE INDEX listing_by_sync ON listing (synced_at)",
    "CREATE INDEX certificates_by_user ON certificates (user_id)",
    "CREATE INDEX certificates_by_serial ON certificates (serial_number)",
    """CREATE INDEX certificates_by_end ON certificates (status, not_after, certificate_type, issuer_number)
    WHERE kind = 'entra_user'""",
    f"""CREATE INDEX certificates_by_notice ON certificates ({NOTICED_DAYS}, not_after)
    WHERE kind = 'entra_user' AND status = 'issued'""",
    """CREATE INDEX certificates_revoked ON certificates (issuer_number, serial_number)
    WHERE status IN ('held', 'revoked')""",
)

MEANING = 1
"""Rises when what the columns mean, or how text is folded, changes without a change of the tables."""

FORMAT = zlib.crc32(repr((TABLES, INDEXES, MEANING, unicodedata.unidata_version)).encode()) & 0x7FFFFFFF
"""What a file of this version's making says in its header; one that says something else is not read."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection to an existing file; transactions are begun and ended by hand."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_TIMEOUT.total_seconds(),
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def create(path: Path, tenant_id: str) -> sqlite3.Connection:
    """A new, empty file, set up to be filled fast: no journal until `finish`.

    Raises: ReplicaUnavailable without FTS5; FileExistsError.
    """
    path.touch(exist_ok=False)
    connection = connect(path)
    require_fts5(connection)
    connection.execute("PRAGMA page_size = 8192")
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.executescript(TABLES)
    connection.execute("INSERT INTO position VALUES (?, 0, '', '')", (tenant_id,))
    return connection


def finish(connection: sqlite3.Connection) -> None:
    """Makes a filled and indexed file one that may be shared: marked as complete by its format number, in WAL mode."""
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_mode = WAL")


def is_ours(connection: sqlite3.Connection, tenant_id: str) -> bool:
    """Whether the file is complete, of this format and of this tenant.

    Raises: sqlite3.DatabaseError where it is no SQLite file or a damaged one.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (format_number,) = connection.execute("PRAGMA user_version").fetchone()
    if (application_id, format_number) != (APPLICATION_ID, FORMAT):
        return False
    return bool(connection.execute("SELECT tenant_id = ? FROM position", (tenant_id,)).fetchone() == (1,))


def require_fts5(connection: sqlite3.Connection) -> None:
    """Raises ReplicaUnavailable where Python's SQLite cannot index text by trigrams."""
    (modules,) = connection.execute("SELECT count(*) FROM pragma_module_list WHERE name = 'fts5'").fetchone()
    if not modules or sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise ReplicaUnavailable(
            f"Search and statistics need SQLite {oldest} or later with FTS5; this Python has {sqlite3.sqlite_version}"
            f" {'with' if modules else 'without'} it. Use a Python build with a complete SQLite."
        )
