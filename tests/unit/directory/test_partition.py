"""Which rows are read by range instead of one by one."""

from hypothesis import given
from hypothesis import strategies as st

from shared.directory.partition import _by_range
from shared.directory.records.user import object_id_key, user_key

KEYS = st.lists(
    st.integers(1, 300).map(user_key)
    | st.integers(1, 40).map(lambda number: f"cert|{number:010d}")
    | st.uuids().map(lambda each: object_id_key(str(each)))
    | st.just("head"),
    unique=True,
    max_size=60,
)


@given(KEYS)
def test_every_key_is_read_once_alone_or_by_a_range(keys: list[str]) -> None:
    alone, ranges = _by_range(keys)
    in_ranges = [key for key in keys for start, end in ranges if start <= key < end]
    assert sorted([*alone, *in_ranges]) == sorted(keys)


def test_near_ids_are_one_range_and_distant_ones_are_not() -> None:
    near, distant = [user_key(number) for number in range(1, 99, 3)], [user_key(number) for number in (500, 900)]
    assert _by_range([*near, *distant]) == (distant, [(user_key(1), f"{user_key(97)}!")])


def test_a_few_rows_are_read_one_by_one() -> None:
    keys = [user_key(number) for number in range(1, 6)]
    assert _by_range(keys) == (keys, [])
