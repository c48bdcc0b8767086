"""What the ledger promises to those who change and read records."""

import os
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.azurite.azurite import Azurite
from shared.directory.audit import verify
from shared.directory.errors import ChangeTooLarge, StorageRefused
from shared.directory.head import BEGINNING
from shared.directory.ledger import Committed, Ledger, Request, Transaction
from shared.directory.log import genesis_hash
from shared.directory.records.base import row_sha256
from shared.directory.records.user import Group, ObjectIdLink, User, object_id_key, user_key
from shared.directory.tables import TableStore
from shared.errors import AppError
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.ledger_story import (
    Counter,
    Note,
    Photo,
    change_note,
    context,
    count_up,
    counter_key,
    meet_user,
    note_key,
    soon,
    take_photo,
    write_note,
)


class Refused(AppError):
    status, code = 409, "refused"


def refusing(tx: Transaction) -> None:
    tx.put(Note(id=tx.next_id("note"), text="never"))
    raise Refused("No.")


def values(results: list[Committed[Any] | AppError]) -> list[Any]:
    return [result.value if isinstance(result, Committed) else result for result in results]


@pytest.fixture
def spied(azurite: Azurite, ledger: Ledger) -> Any:
    """The same ledger through a proxy that counts requests: (ledger, proxy)."""
    with FaultProxy(azurite.table_port, lambda *_: Fault.NONE) as proxy:
        tables = TableStore.from_connection_string(proxy.connection_string(azurite.connection_string), "directory")
        yield Ledger(tables, ledger.tenant_id), proxy


def test_an_empty_ledger_has_a_head_without_a_row(ledger: Ledger) -> None:
    head = ledger.head()

    assert (head.seq, head.time, head.next_ids) == (0, BEGINNING, {})
    assert head.last_hash == genesis_hash(ledger.tenant_id)
    assert list(ledger.scan(Note)) == []
    assert list(ledger.log(0)) == []
    assert ledger.get(Note, note_key(1)) is None


def test_a_commit_writes_record_log_and_head_together(ledger: Ledger) -> None:
    committed = ledger.commit(write_note("hello", "request-7"), soon())

    (log,) = ledger.log(0)
    (operation,) = log.operations
    (change,) = operation.changes
    note = ledger.get(Note, note_key(1))
    head = ledger.head()
    assert note == Note(id=1, text="hello")
    assert (committed.value, committed.seq, committed.time) == (1, 1, log.time)
    assert (operation.action, operation.actor.id, operation.request_id) == ("note.written", "tester", "request-7")
    assert (change.key, change.sha256, change.data) == (note_key(1), row_sha256(note.to_row()), {"text": "hello"})
    assert (head.seq, head.time, head.last_hash, head.next_ids) == (1, log.time, log.hash, {"note": 2})
    assert (log.previous_hash, log.computed_hash()) == (genesis_hash(ledger.tenant_id), log.hash)


def test_a_refusal_reaches_the_caller_and_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(Refused):
        ledger.commit(Request("note.refused", context(), refusing), soon())

    assert ledger.head().seq == 0
    assert ledger.commit(write_note("first"), soon()).value == 1


def test_a_defect_in_a_decision_reaches_the_caller_as_it_is(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError):
        ledger.commit(Request("broken", context(), lambda tx: 1 // 0), soon())

    assert ledger.commit(write_note("the ledger goes on"), soon()).seq == 1


def test_a_request_that_changes_nothing_writes_no_log_row(ledger: Ledger) -> None:
    ledger.commit(write_note("same"), soon())

    committed = ledger.commit(change_note(1, "same"), soon())

    assert committed.seq == 1
    assert ledger.head().seq == 1


def test_of_many_requests_only_the_refused_one_drops_out(ledger: Ledger) -> None:
    requests: list[Request[Any]] = [
        write_note("one"),
        Request("note.refused", context(), refusing),
        write_note("two"),
    ]

    results: list[Committed[Any] | AppError] = ledger.commit_all(requests, soon())

    assert values(results)[0::2] == [1, 2]
    assert isinstance(results[1], Refused)
    assert [note.text for note in ledger.scan(Note)] == ["one", "two"]
    assert ledger.head().seq == 1


def test_fifty_changed_users_are_one_transaction_and_fifty_new_ones_two(spied: tuple[Ledger, FaultProxy]) -> None:
    ledger, proxy = spied
    object_ids = [str(uuid.uuid4()) for _ in range(50)]

    new = ledger.commit_all([meet_user(object_id) for object_id in object_ids], soon())
    for_new = proxy.count("POST", "/$batch")
    changed = ledger.commit_all([meet_user(object_id) for object_id in object_ids], soon())

    assert values(new) == values(changed) == list(range(1, 51))
    assert (for_new, proxy.count("POST", "/$batch") - for_new) == (2, 1)
    assert proxy.count("GET", "head')") == 1  # the rest are commits of its own, so it knows the head


def test_an_uncontended_commit_is_one_transaction_and_no_look_at_the_head(spied: tuple[Ledger, FaultProxy]) -> None:
    ledger, proxy = spied
    ledger.commit(count_up("a"), soon())
    before = len(proxy.requests)

    ledger.commit(count_up("b"), soon())
    ledger.commit(count_up("b"), soon())

    # The row of b; the transaction; and the second time what the first left behind is known.
    assert [method for method, _ in proxy.requests[before:]] == ["GET", "POST", "POST"]


def test_rows_are_read_once_however_many_transactions_the_requests_need(spied: tuple[Ledger, FaultProxy]) -> None:
    ledger, proxy = spied
    object_ids = [str(uuid.uuid4()) for _ in range(120)]

    ledger.commit_all([meet_user(object_id) for object_id in object_ids], soon())

    assert proxy.count("POST", "/$batch") == 3
    assert proxy.count("GET", "") == 1 + 120  # the head, and a look for each object id


def test_what_is_known_of_a_row_ends_when_another_changes_it(tables: TableStore, ledger: Ledger) -> None:
    other = Ledger(tables, ledger.tenant_id)
    note = ledger.commit(write_note("first"), soon()).value
    ledger.commit(change_note(note, "second"), soon())
    other.commit(change_note(note, "third"), soon())

    seen = ledger.commit(Request("look", context(), lambda tx: tx.get(Note, note_key(note))), soon())
    ledger.commit(change_note(note, "second"), soon())

    assert seen.value == Note(id=note, text="third")
    assert ledger.get(Note, note_key(note)) == Note(id=note, text="second")


def test_a_head_known_from_an_own_commit_never_hides_anothers_change(tables: TableStore, ledger: Ledger) -> None:
    other = Ledger(tables, ledger.tenant_id)
    for value in range(1, 20, 2):
        assert ledger.commit(count_up("a"), soon()).value == value
        assert other.commit(count_up("a"), soon()).value == value + 1

    with pytest.raises(Refused, match="20"):
        ledger.commit(Request("look", context(), _refuse_with_value), soon())
    assert other.commit(Request("look", context(), lambda tx: tx.get(Counter, counter_key("a"))), soon()).seq == 20


def _refuse_with_value(tx: Transaction) -> None:
    counter = tx.get(Counter, counter_key("a"))
    assert counter is not None
    raise Refused(str(counter.value))


def test_a_refusal_never_rests_on_two_different_states(tables: TableStore, ledger: Ledger) -> None:
    """Two counters always move together; a decision that sees them apart would refuse wrongly."""
    other = Ledger(tables, ledger.tenant_id)

    def both_up(tx: Transaction) -> None:
        for name in ("a", "b"):
            counter = tx.get(Counter, counter_key(name)) or Counter(name=name, value=0)
            tx.put(replace(counter, value=counter.value + 1))

    def compare(tx: Transaction) -> None:
        first = tx.get(Counter, counter_key("a"))
        if moves:
            moves.pop()()
        second = tx.get(Counter, counter_key("b"))
        assert first and second
        if first.value != second.value:
            raise Refused("They differ.")

    move = Request("both.up", context(), both_up)
    ledger.commit(move, soon())
    moves: list[Callable[[], object]] = [lambda: other.commit(move, soon())]

    ledger.commit(Request("compare", context(), compare), soon())

    assert moves == []


def test_a_record_put_without_a_look_is_still_replaced_if_it_is_there(ledger: Ledger) -> None:
    blind = Request("blind", context(), lambda tx: tx.put(Counter(name="a", value=7)))
    ledger.commit(count_up("a"), soon())

    assert ledger.commit(blind, soon()).seq == 2
    assert ledger.commit(blind, soon()).seq == 2  # equal now: no change
    assert ledger.get(Counter, counter_key("a")) == Counter(name="a", value=7)


def test_a_record_can_be_deleted_and_written_again(ledger: Ledger) -> None:
    delete = Request("gone", context(), lambda tx: tx.delete(Counter, counter_key("a")))
    ledger.commit(count_up("a"), soon())
    ledger.commit(delete, soon())
    assert ledger.get(Counter, counter_key("a")) is None
    assert ledger.commit(delete, soon()).seq == 2

    assert ledger.commit(count_up("a"), soon()).value == 1
    assert [row.operations[0].changes[0].sha256 is None for row in ledger.log(0)] == [False, True, False]


def test_a_transaction_lists_what_is_in_the_table_and_what_is_staged(ledger: Ledger) -> None:
    ledger.commit_all([write_note(text) for text in "abc"], soon())

    def decide(tx: Transaction) -> list[str]:
        tx.delete(Note, note_key(1))
        tx.put(Note(id=3, text="C"))
        tx.put(Note(id=tx.next_id("note"), text="d"))
        return [note.text for note in tx.scan(Note, "note|")]

    assert ledger.commit(Request("x", context(), decide), soon()).value == ["b", "C", "d"]


def test_a_record_larger_than_a_property_comes_back_whole(ledger: Ledger) -> None:
    text = "😀漢é" * 30_000
    group_ids = tuple(sorted(str(uuid.uuid4()) for _ in range(9_000)))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    user = User(id=1, name="Ada", is_active=True, group_ids=group_ids, created_at=now, updated_at=now)

    ledger.commit(write_note(text), soon())
    ledger.commit(Request("user", context(), lambda tx: tx.put(user)), soon())

    assert [note.text for note in ledger.scan(Note)] == [text]
    assert ledger.get(User, user_key(1)) == user
    assert verify(ledger.partition).is_clean


@pytest.mark.parametrize("sizes", [[760 * 1024], [22 * 1024] * 98], ids=["one_row", "one_transaction"])
def test_the_service_takes_the_largest_that_the_limits_allow(
    spied: tuple[Ledger, FaultProxy], sizes: list[int]
) -> None:
    ledger, proxy = spied
    photos = [os.urandom(size) for size in sizes]

    ledger.commit_all([take_photo(photo) for photo in photos], soon())

    assert [photo.data for photo in ledger.scan(Photo)] == photos
    assert proxy.count("POST", "/$batch") == 1


def test_a_record_larger_than_a_row_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ChangeTooLarge):
        ledger.commit(write_note("x" * 1_000_000), soon())


def test_the_time_of_a_change_never_goes_back(tables: TableStore, tenant_id: str) -> None:
    times = [datetime(2030, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)]
    ledgers = [Ledger(tables, tenant_id, clock=lambda time=time: time) for time in times]  # type: ignore[misc]

    committed = [ledger.commit(write_note("x"), soon()) for ledger in ledgers]

    assert [result.time for result in committed] == [times[0], times[0]]
    assert verify(ledgers[0].partition).is_clean


def test_processes_that_meet_on_an_empty_tenant_agree_on_its_first_head(tables: TableStore, tenant_id: str) -> None:
    ledgers = [Ledger(tables, tenant_id) for _ in range(8)]
    start = threading.Barrier(8)

    def write(ledger: Ledger) -> None:
        start.wait()
        ledger.commit(write_note("first?"), soon())

    threads = [threading.Thread(target=write, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [note.id for note in ledgers[0].scan(Note)] == list(range(1, 9))
    assert verify(ledgers[0].partition).is_clean


def test_threads_share_commits(spied: tuple[Ledger, FaultProxy]) -> None:
    ledger, proxy = spied

    threads = [
        threading.Thread(target=lambda: [ledger.commit(count_up("shared"), soon()) for _ in range(10)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ledger.get(Counter, counter_key("shared")) == Counter(name="shared", value=80)
    assert proxy.count("POST", "/$batch") <= 60


def test_tenants_share_a_table_and_nothing_else(tables: TableStore, ledger: Ledger) -> None:
    other = Ledger(tables, str(uuid.uuid4()))
    ledger.commit(write_note("ours"), soon())

    assert other.commit(write_note("theirs"), soon()).value == 1
    assert [note.text for note in other.scan(Note)] == ["theirs"]


def test_a_scan_is_ordered_and_takes_a_range(ledger: Ledger) -> None:
    ledger.commit_all([write_note(str(number)) for number in range(1, 121)], soon())

    assert [note.id for note in ledger.scan(Note)] == list(range(1, 121))
    assert [note.id for note in ledger.scan(Note, start=note_key(5), end=note_key(8))] == [5, 6, 7]
    assert [note.id for note in ledger.scan(Note, start=note_key(119))] == [119, 120]
    assert list(ledger.scan(Note, end=note_key(1))) == []


def test_a_scan_goes_on_over_pages_and_id_ranges(ledger: Ledger) -> None:
    ledger.commit_all([write_note("x") for _ in range(2_050)], soon(60))
    object_ids = sorted(str(uuid.uuid4()) for _ in range(1_100))
    groups = [
        Request("group", context(), lambda tx, it=it: tx.put(Group(object_id=it, display_name="G")))  # type: ignore[misc]
        for it in object_ids
    ]
    ledger.commit_all(groups, soon(60))

    assert [note.id for note in ledger.scan(Note)] == list(range(1, 2_051))
    assert [group.object_id for group in ledger.scan(Group)] == object_ids


def test_many_records_are_read_at_once(ledger: Ledger) -> None:
    ledger.commit_all([write_note(str(number)) for number in range(1, 31)], soon())

    found = ledger.get_many(Note, [note_key(number) for number in range(20, 41)])

    assert sorted(found) == [note_key(number) for number in range(20, 31)]


def test_the_log_is_read_from_anywhere_to_anywhere(ledger: Ledger) -> None:
    for number in range(1, 8):
        ledger.commit(write_note(str(number)), soon())

    assert [row.seq for row in ledger.log(0)] == [1, 2, 3, 4, 5, 6, 7]
    assert [row.seq for row in ledger.log(3, until=5)] == [4, 5]
    assert list(ledger.log(7)) == []


def test_a_replica_could_follow_by_the_log_alone(ledger: Ledger) -> None:
    object_id = str(uuid.uuid4())
    ledger.commit(meet_user(object_id), soon())
    ledger.commit(meet_user(object_id), soon())

    last = {change.key: change for row in ledger.log(0) for op in row.operations for change in op.changes}

    user = ledger.get(User, user_key(1))
    assert user is not None
    assert last[user.key].data == user.replicated_row()
    assert last[object_id_key(object_id)].data is None
    assert ledger.get(ObjectIdLink, object_id_key(object_id)) is not None


def test_a_missing_table_is_named(azurite: Azurite, tenant_id: str) -> None:
    tables = TableStore.from_connection_string(azurite.connection_string, "nowhere")

    with pytest.raises(StorageRefused, match="nowhere"):
        Ledger(tables, tenant_id).commit(write_note("x"), soon(3))


def test_a_wrong_storage_key_is_a_refusal_and_not_a_matter_of_waiting(azurite: Azurite, tenant_id: str) -> None:
    wrong = azurite.connection_string.replace("AccountKey=E", "AccountKey=F")
    tables = TableStore.from_connection_string(wrong, "directory")

    with pytest.raises(StorageRefused, match="403"):
        Ledger(tables, tenant_id).commit(write_note("x"), soon(3))


def test_the_clock_is_compared_with_the_storage_services(azurite: Azurite) -> None:
    tables = TableStore.from_connection_string(azurite.connection_string, "directory")
    assert tables.clock_skew() is None

    tables.create_if_missing()

    skew = tables.clock_skew()
    assert skew is not None
    assert abs(skew) < timedelta(seconds=2)
