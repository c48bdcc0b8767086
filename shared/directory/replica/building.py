"""Builds a replica file from the tables: rows first, then every index in one go."""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import itertools
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from shared.directory.head import Head
from shared.directory.records.base import Row
from shared.directory.records.certificate import Certificate
from shared.directory.records.user import Group, User
from shared.directory.replica import schema
from shared.directory.replica.certificate_counts import CertificateCounter
from shared.directory.replica.columns import (
    INSERT_CERTIFICATE,
    INSERT_GROUP,
    INSERT_LISTING,
    INSERT_USER,
    Issuers,
    addresses,
    certificate_columns,
    group_columns,
    is_listed,
    listing_columns,
    user_columns,
)
from shared.directory.replica.domains import Domains
from shared.directory.replica.ranks import RankWriter
from shared.directory.replica.source import Source
from shared.directory.replica.text_folding import fold

ROWS_AT_ONCE = 1000
USER_COUNTS = {
    "total": "TRUE",
    "active": "is_active",
    "deleted": "deleted_at IS NOT NULL",
    "guests": "user_type IS 'Guest'",
}


def build(path: Path, source: Source, tenant_id: str, head: Head) -> None:
    """Fills a new file with every replicated record.

    Its position is `head`, read before the scans: what changed since then is found again in the log, and applying a
    log row twice does no harm.

    Raises: ReplicaUnavailable; sqlite3.Error and OSError where the disk does not take it.
    """
    connection = schema.create(path, tenant_id)
    try:
        connection.execute("BEGIN")
        _load_users(connection, source.replicated_rows(User))
        issuers = Issuers(connection)
        connection.executemany(
            INSERT_CERTIFICATE,
            (certificate_columns(row, issuers.number(row)) for row in source.replicated_rows(Certificate)),
        )
        connection.executemany(INSERT_GROUP, (group_columns(row) for row in source.replicated_rows(Group)))
        connection.execute(
            "UPDATE position SET seq = ?, hash = ?, users_hash = ?", (head.seq, head.last_hash, head.last_hash)
        )
        _index(connection)
        connection.execute("COMMIT")
        schema.finish(connection)
    finally:
        connection.close()


def copy(old: Path, path: Path, tenant_id: str) -> None:
    """Fills a new file with the rows of another, as of one moment: without what SQLite keeps of rows that are gone.

    Raises: sqlite3.Error and OSError.
    """
    connection = schema.create(path, tenant_id)
    try:
        connection.execute("ATTACH ? AS old", (f"{old.absolute().as_uri()}?mode=rw",))
        connection.execute("BEGIN")
        connection.execute("DELETE FROM position")
        for table in schema.ROWS:
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM old.{table}")
        _index_texts(connection)
        _create_indexes(connection)
        connection.execute("COMMIT")
        connection.execute("DETACH old")
        schema.finish(connection)
    finally:
        connection.close()


def _load_users(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    listed = filter(is_listed, rows)
    domains: Domains | None = None
    while chunk := list(itertools.islice(listed, ROWS_AT_ONCE)):
        if domains is None:  # the first thousand are enough to tell which domains are common
            domains = Domains.common(fold(address) for row in chunk for address in addresses(row))
            domains.save(connection)
        listings = [listing_columns(row, domains) for row in chunk]
        users = (user_columns(row, listing[-1], domains) for row, listing in zip(chunk, listings, strict=True))
        connection.executemany(INSERT_USER, users)
        connection.executemany(INSERT_LISTING, listings)


def _index(connection: sqlite3.Connection) -> None:
    _index_texts(connection)
    for name, condition in USER_COUNTS.items():
        connection.execute(
            f"INSERT INTO user_counts SELECT ?, count(*) FROM users JOIN listing USING (id) WHERE {condition}", (name,)
        )
    _create_indexes(connection)
    RankWriter(connection).fill()
    CertificateCounter(connection).fill()


def _index_texts(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO trigrams (rowid, folded) SELECT id, folded FROM main.listing")


def _create_indexes(connection: sqlite3.Connection) -> None:
    for statement in schema.INDEXES:
        connection.execute(statement)
