"""The lease of the tenant sync on a real table: one runner, whatever happens to the one before."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from shared.context import Context
from shared.directory.ledger import Ledger, Request, Transaction
from shared.directory.records.user import Group, group_key
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.entra.tenant_sync.lease import Fencing, LeaseKeeper, LeaseLost, LeaseTaken


class MovableClock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def state(tables: TableStore, tenant_id: str) -> StateStore:
    return StateStore(tables, tenant_id)


def keeper(state: StateStore, clock: MovableClock) -> LeaseKeeper:
    return LeaseKeeper(state, "sync", clock=clock)


def test_a_second_runner_is_refused_and_told_who_works(state: StateStore, clock: MovableClock) -> None:
    keeper(state, clock).take("timer on host a")
    with pytest.raises(LeaseTaken, match="timer on host a") as refused:
        keeper(state, clock).take("operator")
    assert refused.value.status == 409


def test_a_lease_given_back_is_free_and_the_next_number_is_higher(state: StateStore, clock: MovableClock) -> None:
    first = keeper(state, clock)
    number = first.take("a").number
    first.give_back()
    assert keeper(state, clock).take("b").number == number + 1


def test_a_lease_ends_by_itself_unless_it_is_renewed(state: StateStore, clock: MovableClock) -> None:
    first = keeper(state, clock)
    first.take("a")
    for _ in range(4):
        clock.now += timedelta(minutes=2)
        first.renew()
    with pytest.raises(LeaseTaken):
        keeper(state, clock).take("b")
    clock.now += timedelta(minutes=4)
    keeper(state, clock).take("b")
    with pytest.raises(LeaseLost):
        first.renew()


def test_giving_back_a_lost_lease_does_not_take_it_from_the_new_holder(state: StateStore, clock: MovableClock) -> None:
    first = keeper(state, clock)
    first.take("a")
    clock.now += timedelta(minutes=4)
    keeper(state, clock).take("b")
    first.give_back()
    current = keeper(state, clock).current()
    assert current is not None
    assert current.owner == "b"


def test_a_clock_set_back_does_not_lock_the_sync_for_days(state: StateStore, clock: MovableClock) -> None:
    keeper(state, clock).take("a")
    clock.now -= timedelta(days=2)
    assert keeper(state, clock).take("b").number == 2


def test_a_holder_whose_clock_jumps_keeps_its_lease_in_force(state: StateStore, clock: MovableClock) -> None:
    first = keeper(state, clock)
    first.take("a")
    clock.now -= timedelta(days=2)
    first.renew()
    with pytest.raises(LeaseTaken):
        keeper(state, clock).take("b")


def test_after_a_later_runner_has_written_an_earlier_one_cannot(
    state: StateStore, clock: MovableClock, ledger: Ledger, context: Context
) -> None:
    def write(name: str, fencing: Fencing) -> Request[None]:
        def decide(tx: Transaction) -> None:
            fencing.check(tx)
            fencing.mark(tx)
            tx.put(Group(object_id=group, display_name=name))

        return Request("test.write", context, decide)

    group = str(uuid.uuid4())
    earlier = keeper(state, clock).take("a")
    ledger.commit(write("by a", earlier), context.deadline)
    clock.now += timedelta(minutes=4)
    later = keeper(state, clock).take("b")
    ledger.commit(write("by b", later), context.deadline)

    with pytest.raises(LeaseLost):
        ledger.commit(write("by a again", earlier), context.deadline)

    stored = ledger.get(Group, group_key(group))
    assert stored is not None
    assert stored.display_name == "by b"
