"""A worker process of an instance, for tests: `python -m tests.support.replica_worker CONNECTION TENANT FOLDER`.

Answers each line on stdin with a line on stdout. `find TEXT`: catches up and says how many users match. `spin`: catches
up and reads for ever, and ends with the complaint at the first answer that contradicts itself.
"""

import sys
from pathlib import Path

from shared.context import REQUEST_BUDGET, Deadline
from shared.directory.ledger import Ledger
from shared.directory.replica.queries import UserQuery
from shared.directory.replica.replica import Replica
from shared.directory.tables import TableStore
from tests.support.people import NOW


def main() -> None:
    connection_string, tenant_id, folder = sys.argv[1:]
    ledger = Ledger(TableStore.from_connection_string(connection_string, "directory"), tenant_id)
    replica = Replica(ledger, Path(folder), tenant_id)
    print("ready", flush=True)
    for line in sys.stdin:
        command, _, argument = line.rstrip("\n").partition(" ")
        if command == "find":
            replica.catch_up(Deadline.after(REQUEST_BUDGET))
            print(replica.users(UserQuery(search=argument)).total, flush=True)
        else:
            print("spinning", flush=True)
            while True:
                _look(replica, ledger)


def _look(replica: Replica, ledger: Ledger) -> None:
    """One look, which has to agree with itself and with what was there before it began."""
    seq = ledger.head().seq
    replica.catch_up(Deadline.after(REQUEST_BUDGET))
    with replica.revoked_certificates("none") as (position, _):
        assert position >= seq, f"at {position}, although {seq} was there before"
    page = replica.users(UserQuery(per_page=100))
    assert len(page.items) == min(page.total, 100), f"{len(page.items)} users on the first page of {page.total}"
    found = replica.users(UserQuery(search="e", per_page=100, sort="name"))
    assert len(found.items) == min(found.total, 100), f"{len(found.items)} users on the first page of {found.total}"
    users = replica.statistics(NOW).users
    assert users.total == users.active + users.inactive


if __name__ == "__main__":
    main()
