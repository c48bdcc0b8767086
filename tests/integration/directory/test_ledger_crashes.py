"""A process that is killed at any moment leaves every record whole and nothing acknowledged behind."""

import os
import random
import time
import uuid
from collections import Counter as Tally

from local.azurite.azurite import Azurite
from shared.directory.audit import verify
from shared.directory.ledger import Ledger
from shared.directory.records.user import ObjectIdLink, User
from tests.support.ledger_story import Counter, counter_key, logged_requests, soon, visits, write_note
from tests.support.ledger_writers import WriterProcesses

KILLS = int(os.environ.get("LEDGER_KILLS", "200"))
SEED = 20240229


def test_kills_at_random_points_leave_every_record_consistent(azurite: Azurite, ledger: Ledger) -> None:
    moments, commit_seconds = random.Random(SEED), seconds_of_a_commit(ledger)
    object_ids = [str(uuid.uuid4()) for _ in range(20)]
    with WriterProcesses(azurite.connection_string) as writers:
        for number in range(1, KILLS + 1):
            pid = writers.start("restless", tenant_id=ledger.tenant_id, threads=3, object_ids=object_ids)
            writers.wait_until(number)
            time.sleep(moments.uniform(0.0, 8 * commit_seconds))
            writers.kill(pid)

    # The last transaction of the dead may still be under way: a commit of ours settles what it became.
    ledger.commit(write_note("after the last of them"), soon())
    acknowledged = [line["request"] for line in writers.said if "request" in line]
    logged = logged_requests(ledger)
    print(f"\n{KILLS} kills, {len(acknowledged)} commits acknowledged, {len(logged)} in the log")
    assert len(acknowledged) > KILLS / 2
    assert all(logged.get(request) == 1 for request in acknowledged)
    assert set(logged.values()) == {1}
    assert verify(ledger.partition).findings == ()
    _assert_records_agree_with_the_log(ledger)


def seconds_of_a_commit(ledger: Ledger) -> float:
    """On this machine, in its present mood: what the moments of death are spread over."""
    started = time.perf_counter()
    for _ in range(10):
        ledger.commit(write_note("how long does it take"), soon())
    return (time.perf_counter() - started) / 10


def _assert_records_agree_with_the_log(ledger: Ledger) -> None:
    operations = [operation for row in ledger.log(0) for operation in row.operations]
    users = list(ledger.scan(User))
    assert [user.id for user in users] == list(range(1, len(users) + 1))
    assert {link.object_id: link.user_id for link in ledger.scan(ObjectIdLink)} == {
        user.object_id: user.id for user in users
    }
    named = Tally(change.key for operation in operations for change in operation.changes)
    assert {user.key: visits(user) for user in users} == {user.key: named[user.key] for user in users}
    counter = ledger.get(Counter, counter_key("shared"))
    assert counter is not None
    assert counter.value == named[counter.key]
