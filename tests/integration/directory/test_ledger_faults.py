"""Between the ledger and Azurite, a proxy that loses, delays, repeats and fails: nothing happens twice or is lost."""

import threading
import time
import uuid
from datetime import timedelta

import pytest

from local.azurite.azurite import Azurite
from shared.context import Deadline, system_clock
from shared.directory.audit import verify
from shared.directory.commit_queue import Pending
from shared.directory.committer import Committer
from shared.directory.errors import LedgerBusy, OutcomeUnknown, StorageUnavailable
from shared.directory.ledger import Ledger
from shared.directory.partition import Partition
from shared.directory.tables import READ_ATTEMPTS, TableStore
from shared.errors import AppError
from tests.support.fault_proxy import Fault, FaultProxy, in_turn, seeded
from tests.support.ledger_story import Counter, Note, count_up, counter_key, logged_requests, note_key, soon, write_note

SEED = 1969


def behind(proxy: FaultProxy, azurite: Azurite, tenant_id: str) -> Ledger:
    connection_string = proxy.connection_string(azurite.connection_string)
    return Ledger(TableStore.from_connection_string(connection_string, "directory"), tenant_id)


def test_under_a_storm_of_faults_nothing_is_applied_twice_and_nothing_acknowledged_is_lost(
    azurite: Azurite, ledger: Ledger
) -> None:
    acknowledged: set[str] = set()
    unknown: set[str] = set()
    failed: set[str] = set()

    def write(writer: Ledger) -> None:
        for number in range(25):
            request_id = uuid.uuid4().hex
            request = count_up("shared", request_id) if number % 2 else write_note("storm", request_id)
            try:
                writer.commit(request, soon(2))
                acknowledged.add(request_id)
            except OutcomeUnknown:
                unknown.add(request_id)
            except StorageUnavailable:
                failed.add(request_id)

    with FaultProxy(azurite.table_port, seeded(SEED, share=0.3)) as proxy:
        writers = [behind(proxy, azurite, ledger.tenant_id) for _ in range(3)]
        threads = [threading.Thread(target=write, args=(writer,)) for writer in writers for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        proxy.settle()

    logged = logged_requests(ledger)
    print(f"\n{len(acknowledged)} acknowledged, {len(unknown)} unknown, {len(failed)} not applied; {proxy.counts}")
    assert len(acknowledged) > 100
    assert len(acknowledged | unknown | failed) == 9 * 25
    assert set(logged.values()) == {1}
    assert acknowledged <= logged.keys()
    assert not failed & logged.keys()
    assert all(proxy.counts.get(fault) for fault in Fault)
    counter = ledger.get(Counter, counter_key("shared"))
    ups = [row for row in ledger.log(0) for operation in row.operations if operation.action == "counter.up"]
    assert counter is not None
    assert counter.value == len(ups)
    assert [note.id for note in ledger.scan(Note)] == list(range(1, ledger.head().next_ids["note"]))
    assert verify(ledger.partition).findings == ()


@pytest.mark.parametrize(
    "fault",
    [Fault.LOSE_REPLY, Fault.LATE, Fault.ERROR_AFTER, Fault.REPEAT, Fault.CUT_REPLY, Fault.LOSE_REQUEST],
    ids=lambda fault: fault.name.lower(),
)
def test_a_commit_whose_answer_is_unclear_is_found_out_and_applied_once(
    azurite: Azurite, ledger: Ledger, fault: Fault
) -> None:
    with FaultProxy(azurite.table_port, in_turn([fault], "POST", "/$batch")) as proxy:
        committed = behind(proxy, azurite, ledger.tenant_id).commit(write_note("once"), soon())
        proxy.settle()

    assert (committed.value, committed.seq) == (1, 1)
    assert [note.text for note in ledger.scan(Note)] == ["once"]
    assert ledger.head().seq == 1


def test_a_commit_that_lands_late_just_before_it_is_sent_again_is_applied_once(
    azurite: Azurite, ledger: Ledger
) -> None:
    # The first copy is not there yet when we look, and is when the second arrives.
    with FaultProxy(azurite.table_port, in_turn([Fault.LATE, Fault.SLOW], "POST", "/$batch")) as proxy:
        committed = behind(proxy, azurite, ledger.tenant_id).commit(count_up("once"), soon())
        proxy.settle()

    assert (committed.value, committed.seq) == (1, 1)
    assert ledger.get(Counter, counter_key("once")) == Counter(name="once", value=1)


def test_a_conflict_with_itself_is_not_taken_for_a_lost_race_while_nothing_can_be_read(
    azurite: Azurite, ledger: Ledger
) -> None:
    def deaf_for_a_while(method: str, path: str) -> Fault:
        if method == "POST":
            sent.append(path)
            return Fault.LOSE_REPLY if len(sent) == 1 else Fault.NONE
        if sent and len(refused) < 2 * READ_ATTEMPTS:
            refused.append(path)
            return Fault.ERROR_BEFORE
        return Fault.NONE

    sent: list[str] = []
    refused: list[str] = []
    with FaultProxy(azurite.table_port, deaf_for_a_while) as proxy:
        committed = behind(proxy, azurite, ledger.tenant_id).commit(count_up("once"), soon())

    assert (committed.value, committed.seq, len(sent)) == (1, 1, 3)
    assert ledger.get(Counter, counter_key("once")) == Counter(name="once", value=1)


def test_a_commit_that_another_overtook_during_an_unclear_answer_is_decided_again(
    azurite: Azurite, ledger: Ledger
) -> None:
    def overtake(method: str, path: str) -> Fault:
        if method == "POST" and path.endswith("/$batch") and not overtaken:
            overtaken.append(ledger.commit(write_note("the faster one"), soon()).value)
            return Fault.ERROR_BEFORE
        return Fault.NONE

    overtaken: list[int] = []
    with FaultProxy(azurite.table_port, overtake) as proxy:
        committed = behind(proxy, azurite, ledger.tenant_id).commit(write_note("the slower one"), soon())

    assert (overtaken, committed.value, committed.seq) == ([1], 2, 2)


def test_an_outcome_that_stays_unclear_until_the_deadline_is_reported_as_unknown(
    azurite: Azurite, ledger: Ledger
) -> None:
    def deaf_after_commit(method: str, path: str) -> Fault:
        if method == "POST" and path.endswith("/$batch"):
            sent.append(path)
            return Fault.LOSE_REPLY
        return Fault.ERROR_BEFORE if sent else Fault.NONE

    sent: list[str] = []
    with FaultProxy(azurite.table_port, deaf_after_commit) as proxy, pytest.raises(OutcomeUnknown) as caught:
        behind(proxy, azurite, ledger.tenant_id).commit(write_note("perhaps"), soon(1))

    assert (caught.value.status, caught.value.code) == (503, "outcome_unknown")
    assert [note.text for note in ledger.scan(Note)] == ["perhaps"]


def test_the_writer_itself_never_takes_an_unclear_outcome_for_a_failure(azurite: Azurite, ledger: Ledger) -> None:
    pending = Pending(write_note("perhaps"), soon(1))
    with FaultProxy(azurite.table_port, in_turn([Fault.LOSE_REQUEST] * 1000, "POST", "/$batch")) as proxy:
        tables = TableStore.from_connection_string(proxy.connection_string(azurite.connection_string), "directory")
        Committer(Partition(tables, ledger.tenant_id), system_clock).commit_some(
            lambda: [pending] if pending.is_open else []
        )

    assert isinstance(pending.error, OutcomeUnknown)
    assert len({body for body in proxy.bodies if b"perhaps" in body}) == 1
    assert proxy.count("POST", "/$batch") > 3


def test_a_change_that_could_not_be_sent_before_the_deadline_is_reported_as_not_applied(
    azurite: Azurite, ledger: Ledger
) -> None:
    with FaultProxy(azurite.table_port, lambda *_: Fault.LOSE_REQUEST) as proxy:
        started = time.monotonic()
        with pytest.raises(StorageUnavailable):
            behind(proxy, azurite, ledger.tenant_id).commit(write_note("never"), soon(1))

    assert time.monotonic() - started < 3
    assert ledger.head().seq == 0


def test_a_caller_leaves_at_its_own_deadline_whatever_the_storage_does(azurite: Azurite, ledger: Ledger) -> None:
    slow_commits = in_turn([Fault.SLOW] * 100, "POST", "/$batch")
    with FaultProxy(azurite.table_port, slow_commits, delay=1.5) as proxy:
        slow = behind(proxy, azurite, ledger.tenant_id)
        patient = threading.Thread(target=lambda: slow.commit(write_note("patient"), soon(30)))
        patient.start()
        started = time.monotonic()
        with pytest.raises(AppError) as caught:
            slow.commit(write_note("hurried"), Deadline.after(timedelta(seconds=0.3)))
        waited = time.monotonic() - started
        patient.join()

    assert isinstance(caught.value, LedgerBusy | OutcomeUnknown)
    assert waited < 1.2
    assert "patient" in [note.text for note in ledger.scan(Note)]


def test_reads_survive_a_lost_connection_and_a_busy_service(azurite: Azurite, ledger: Ledger) -> None:
    ledger.commit(write_note("still here"), soon())
    for fault in (Fault.LOSE_REQUEST, Fault.LOSE_REPLY, Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.CUT_REPLY):
        ending = "note%7C0000000001')"
        with FaultProxy(azurite.table_port, in_turn([fault], "GET", ending)) as proxy:
            note = behind(proxy, azurite, ledger.tenant_id).get(Note, note_key(1))
        assert note is not None
        assert proxy.count("GET", ending) == 2
