"""Builds a replica file from the tables."""

from pathlib import Path

from shared.directory.head import Head
from shared.directory.replica import schema
from shared.directory.replica.changes import REPLICATED_KINDS, ChangeWriter
from shared.directory.replica.source import Source


def build(path: Path, ledger: Source, tenant_id: str, head: Head) -> None:
    """Fills a new file with every replicated record.

    Its position is `head`, read before the scans: rows that changed since are found again in the log, and applying a
    log row twice does no harm.
    """
    connection = schema.create(path, tenant_id)
    try:
        connection.execute("BEGIN")
        writer = ChangeWriter(connection)
        for kind in REPLICATED_KINDS.values():
            for record in ledger.scan(kind):
                writer.put(record.key, record.replicated_row())
        writer.flush()
        connection.execute("UPDATE position SET seq = ?, hash = ?", (head.seq, head.last_hash))
        connection.execute("COMMIT")
        schema.finish(connection)
    finally:
        connection.close()
