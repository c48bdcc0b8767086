"""Many processes and threads on one ledger: nothing is lost, nothing is given twice, nobody starves."""

import uuid
from collections import Counter

from local.azurite.azurite import Azurite
from shared.directory.audit import verify
from shared.directory.ledger import Ledger
from shared.directory.records.user import ObjectIdLink, User
from tests.support.ledger_story import visits
from tests.support.ledger_writers import WriterProcesses

SECONDS = 6.0


def test_processes_and_threads_lose_no_update_and_share_no_id(azurite: Azurite, ledger: Ledger) -> None:
    object_ids = [str(uuid.uuid4()) for _ in range(40)]
    with WriterProcesses(azurite.connection_string) as writers:
        arguments = {"tenant_id": ledger.tenant_id, "threads": 8, "operations": 10, "object_ids": object_ids}
        for pid in [writers.start("crowd", **arguments) for _ in range(4)]:
            writers.wait(pid)

    assert len(writers.said) == 4 * 8 * 10
    users, links = list(ledger.scan(User)), list(ledger.scan(ObjectIdLink))
    met = Counter(line["object_id"] for line in writers.said)
    assert {user.object_id: visits(user) for user in users} == met
    assert [user.id for user in users] == list(range(1, len(met) + 1))
    assert {link.object_id: link.user_id for link in links} == {user.object_id: user.id for user in users}
    assert {line["object_id"]: line["user"] for line in writers.said} == {user.object_id: user.id for user in users}
    log = list(ledger.log(0))
    assert [row.seq for row in log] == list(range(1, ledger.head().seq + 1))
    assert sum(len(row.operations) for row in log) == len(writers.said)
    assert verify(ledger.partition).findings == ()


def test_a_large_writer_gets_its_share_beside_eight_small_ones(azurite: Azurite, ledger: Ledger) -> None:
    with WriterProcesses(azurite.connection_string) as writers:
        done = writers.race(["bulk", *["single"] * 8], ledger.tenant_id, SECONDS)

    large = [commits for writer, commits in done if writer == "bulk"]
    small = [commits for writer, commits in done if writer == "single"]
    print(
        f"\ncommits a second: 98 rows {large[0] / SECONDS:.1f};",
        "1 row " + ", ".join(f"{commits / SECONDS:.1f}" for commits in small),
    )
    assert len(small) == 8
    assert min(small) >= 1
    # Without turns it is a thirtieth.
    assert large[0] >= sum(small) / len(small) / 5
    assert verify(ledger.partition).findings == ()
