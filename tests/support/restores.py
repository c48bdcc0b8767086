"""Tables to restore into, their rows, and restores that die."""

import multiprocessing
import os
import secrets
import signal
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from shared.context import Context
from shared.directory.backup import Restoration, Restored, Tally, restoration, verify_backup
from shared.directory.ledger import Ledger
from shared.directory.rows import checked_row
from shared.directory.tables import TableStore
from tests.support.ledger_story import context


def new_table(connection_string: str) -> TableStore:
    """An empty table: the partition of any tenant is empty in it."""
    store = TableStore.from_connection_string(connection_string, f"restored{secrets.token_hex(6)}")
    store.create_if_missing()
    return store


def rows_of(tables: TableStore, tenant_id: str) -> dict[str, Mapping[str, Any]]:
    """Every row of the partition, as the app writes it, by key."""
    return {str(entity["RowKey"]): checked_row(entity) for entity in tables.query(tenant_id, "", None)}


def nothing_more(_: Ledger) -> str:
    """A preparation that has nothing to do."""
    return "prepared"


def restore(tables: TableStore, tenant_id: str, path: Path, **options: Any) -> Restored[str]:
    with closing(Tally()) as tally:
        summary = verify_backup(path, tally)
        by: Context = context()
        return Restoration(tables, tenant_id).run(path, summary, tally, nothing_more, by, **options)


@dataclass(frozen=True)
class Life:
    """A process that restores until its n-th request to the table service; `after`: that one is still answered."""

    connection_string: str
    table: str
    tenant_id: str
    path: Path
    dies_at: int
    after: bool


def live_and_die(life: Life) -> None:
    restoration.MARKED_EVERY = 1
    tables = TableStore.from_connection_string(life.connection_string, life.table)
    send, left = tables._send, count(1)

    def or_die(*arguments: Any, **options: Any) -> Any:
        number = next(left)
        if number == life.dies_at and not life.after:
            os.kill(os.getpid(), signal.SIGKILL)
        reply = send(*arguments, **options)
        if number == life.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return reply

    setattr(tables, "_send", or_die)  # noqa: B010  (a method, replaced on this one object)
    restore(tables, life.tenant_id, life.path)


def live(life: Life) -> int | None:
    """Its exit code; -9: it died as planned."""
    mp = multiprocessing.get_context("forkserver")
    mp.set_forkserver_preload([__name__])
    process = mp.Process(target=live_and_die, args=(life,))
    process.start()
    process.join()
    return process.exitcode
