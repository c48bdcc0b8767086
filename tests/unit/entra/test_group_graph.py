"""The group graph against the plainest model of it, in memory and through its segments."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.entra.tenant_sync.group_changes import SEGMENT_BYTES, GroupChange, Operation, apply, compacted, replay
from shared.entra.tenant_sync.group_graph import GroupGraph, ParentIndex
from shared.entra.tenant_sync.node_table import NodeTable


def name(number: int) -> str:
    return str(uuid.UUID(int=number))


GROUPS = [name(number) for number in range(1, 8)]
USERS = [name(number) for number in range(100, 108)]
NODES = st.sampled_from(GROUPS + USERS)


class PlainGraph:
    """Sets of names; the closure by definition."""

    def __init__(self) -> None:
        self.members: dict[str, set[str]] = {}
        self.live: set[str] = set()

    def apply(self, change: GroupChange) -> None:
        group, items = change.subject, set(change.items)
        match change.operation:
            case Operation.LIVE:
                self.live.add(group)
            case Operation.DEAD:
                self.live.discard(group)
            case Operation.SET_MEMBERS:
                self.members[group] = items
            case Operation.ADD_MEMBERS:
                self.members.setdefault(group, set()).update(items)
            case Operation.REMOVE_MEMBERS:
                self.members.setdefault(group, set()).difference_update(items)
            case Operation.SET_PARENTS:
                for members in self.members.values():
                    members.discard(group)
                for parent in items:
                    self.members.setdefault(parent, set()).add(group)

    def closure(self, node: str) -> tuple[str, ...]:
        reached: set[str] = set()
        queue = [node]
        while queue:
            current = queue.pop()
            for group in self.live - reached:
                if current in self.members.get(group, ()):
                    reached.add(group)
                    queue.append(group)
        return tuple(sorted(reached))


CHANGES = st.one_of(
    st.builds(GroupChange, st.sampled_from([Operation.LIVE, Operation.DEAD]), st.sampled_from(GROUPS)),
    st.builds(
        GroupChange,
        st.sampled_from([Operation.SET_MEMBERS, Operation.ADD_MEMBERS, Operation.REMOVE_MEMBERS]),
        st.sampled_from(GROUPS),
        st.lists(NODES, max_size=5).map(tuple),
    ),
    st.builds(
        GroupChange, st.just(Operation.SET_PARENTS), NODES, st.lists(st.sampled_from(GROUPS), max_size=3).map(tuple)
    ),
)


def closures(graph: GroupGraph) -> dict[str, tuple[str, ...]]:
    index = ParentIndex(graph)
    found: dict[str, tuple[str, ...]] = {}
    for node in GROUPS + USERS:
        number = graph.nodes.find(node)
        found[node] = graph.closure(index.direct_groups(number)) if number is not None else ()
    return found


@given(st.lists(st.lists(CHANGES, max_size=6), max_size=8))
@settings(max_examples=300, deadline=None)
def test_memberships_are_those_of_the_plainest_model(rounds: list[list[GroupChange]]) -> None:
    graph, plain, segments = GroupGraph(), PlainGraph(), list[bytes]()
    for changes in rounds:
        segments += apply(graph, changes)
        for change in changes:
            plain.apply(change)
    expected = {node: plain.closure(node) for node in GROUPS + USERS}

    assert closures(graph) == expected

    restored = GroupGraph()
    for segment in segments:
        replay(restored, segment)
    assert closures(restored) == expected

    compact = GroupGraph()
    for segment in apply(GroupGraph(), compacted(graph)):
        replay(compact, segment)
    assert closures(compact) == expected


@given(st.lists(CHANGES, max_size=20), st.lists(CHANGES, max_size=6))
@settings(max_examples=300, deadline=None)
def test_whose_memberships_change_is_touched_or_below_a_touched_group(
    before: list[GroupChange], changes: list[GroupChange]
) -> None:
    graph = GroupGraph()
    apply(graph, before)
    old = closures(graph)
    touched: set[int] = set()

    apply(graph, changes, touched)

    affected = touched | graph.below(node for node in touched if graph.is_group(node))
    new = closures(graph)
    for node in GROUPS + USERS:
        if old[node] != new[node]:
            assert graph.nodes.find(node) in affected


def test_circles_of_groups_end() -> None:
    graph = GroupGraph()
    apply(graph, [GroupChange(Operation.LIVE, group) for group in GROUPS[:2]])
    apply(graph, [GroupChange(Operation.SET_MEMBERS, GROUPS[0], (GROUPS[1], USERS[0]))])
    apply(graph, [GroupChange(Operation.SET_MEMBERS, GROUPS[1], (GROUPS[0],))])
    assert closures(graph)[USERS[0]] == tuple(GROUPS[:2])


def test_a_group_larger_than_a_segment_is_kept_in_several() -> None:
    people = tuple(name(number) for number in range(1000, 91_000))
    graph = GroupGraph()

    changes = [GroupChange(Operation.LIVE, GROUPS[0]), GroupChange(Operation.SET_MEMBERS, GROUPS[0], people)]
    segments = apply(graph, changes)

    assert len(segments) > 1
    assert max(map(len, segments)) <= SEGMENT_BYTES
    restored = GroupGraph()
    for segment in segments:
        replay(restored, segment)
    assert restored.edges == len(people)
    last = restored.nodes.find(people[-1])
    assert last is not None
    assert restored.closure(ParentIndex(restored).direct_groups(last)) == (GROUPS[0],)


def test_a_segment_out_of_order_is_refused() -> None:
    first = apply(GroupGraph(), [GroupChange(Operation.ADD_MEMBERS, GROUPS[0], (USERS[0],))])
    graph = GroupGraph()
    replay(graph, first[0])
    with pytest.raises(ValueError, match="not the next segment"):
        replay(graph, first[0])


def test_ids_are_found_again_under_their_numbers() -> None:
    table = NodeTable()
    ids = [str(uuid.uuid4()) for _ in range(3000)] + [name(number) for number in range(3000)]
    assert [table.add(each) for each in ids] == list(range(6000))
    assert [table.find(each) for each in ids] == list(range(6000))
    assert [table.object_id(number) for number in range(6000)] == ids
    assert table.add(ids[7]) == 7
    assert table.find(str(uuid.uuid4())) is None
    assert table.memory < 6000 * 40
