"""The machine that runs the check: can it hold and search an index of the directory?"""

import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from shared.cli.checkup.checks import Finding, failed, ok, warning

if TYPE_CHECKING:
    from shared.services import Services

BYTES_PER_ROW = 1_000
"""Users and certificates alike, generously (docs/replica.md)."""
BYTES_FOR_ALL = 5_000_000


def replica_space(services: "Services") -> Sequence[Finding]:
    """Whether this machine could hold the search index."""
    from shared.directory.replica.schema import require_fts5

    with closing(sqlite3.connect(":memory:")) as connection:
        require_fts5(connection)
    next_ids = services.ledger.head().next_ids
    rows = sum(next_ids.get(sequence, 1) - 1 for sequence in ("user", "certificate"))
    folder, needed = tempfile.gettempdir(), BYTES_FOR_ALL + rows * BYTES_PER_ROW
    free = shutil.disk_usage(folder).free
    told = f"{free / 1e6:,.0f} MB are free in {folder} of this machine; the search index takes about"
    if free < needed:
        remedy = "Free space, or point TMPDIR to a larger disk. On Flex Consumption choose a larger instance."
        return [failed(f"{told} {needed / 1e6:,.0f} MB.", remedy)]
    finding = ok(f"SQLite {sqlite3.sqlite_version} with FTS5; {told} {needed / 1e6:,.0f} MB.")
    if free < 2 * needed:
        return [
            warning(finding.detail, "When the index is built anew, the old one is still there: keep twice as much.")
        ]
    return [finding]
