"""State beside the ledger: unconditional, conditional, large, gone."""

import os

import pytest

from shared.directory.errors import ChangeTooLarge, StateChanged
from shared.directory.ledger import Ledger
from shared.directory.state import MAX_BYTES, StateStore
from shared.directory.tables import TableStore


@pytest.fixture
def store(tables: TableStore, tenant_id: str) -> StateStore:
    return StateStore(tables, tenant_id)


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, MAX_BYTES])
def test_state_comes_back_as_it_went(store: StateStore, size: int) -> None:
    data = os.urandom(size)

    written = store.put("checkpoint", data)

    assert store.get("checkpoint") == written
    assert written.data == data


def test_absent_state_is_none_and_deleting_it_is_nothing(store: StateStore) -> None:
    assert store.get("lease") is None
    store.delete("lease")


def test_of_two_who_create_one_wins(store: StateStore) -> None:
    store.put("lease", b"mine", etag="")

    with pytest.raises(StateChanged):
        store.put("lease", b"theirs", etag="")
    assert store.get("lease").data == b"mine"  # type: ignore[union-attr]


def test_of_two_who_change_one_wins(store: StateStore) -> None:
    read = store.put("lease", b"0")
    after = store.put("lease", b"mine", etag=read.etag)

    with pytest.raises(StateChanged):
        store.put("lease", b"theirs", etag=read.etag)
    assert store.get("lease") == after


def test_a_condition_on_state_that_is_gone_fails(store: StateStore) -> None:
    read = store.put("lease", b"0")
    store.delete("lease")

    with pytest.raises(StateChanged):
        store.put("lease", b"1", etag=read.etag)
    assert store.get("lease") is None


def test_state_that_no_row_can_hold_is_refused(store: StateStore) -> None:
    with pytest.raises(ChangeTooLarge):
        store.put("checkpoint", b"x" * (MAX_BYTES + 1))


def test_state_leaves_no_trace_in_the_ledger(store: StateStore, ledger: Ledger) -> None:
    store.put("lease", b"x")

    assert ledger.head().seq == 0
    assert list(ledger.log(0)) == []
