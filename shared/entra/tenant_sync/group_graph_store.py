"""The group graph between runs: segments kept as states, loaded when first needed, rewritten when they pile up."""

from collections.abc import Iterable
from itertools import chain

from shared.directory.state import StateStore
from shared.entra.tenant_sync.checkpoint import GraphVersion
from shared.entra.tenant_sync.group_changes import GroupChange, apply, compacted, replay
from shared.entra.tenant_sync.group_graph import GroupGraph, ParentIndex
from shared.errors import AppError

CHANGES_KEPT = 40
"""Segments of changes after which all is written anew."""
_LEFT_BEHIND = 16
"""Segments that a killed runner may have written without noting them."""


class GroupGraphLost(AppError):
    """What is kept of the group graph cannot be used; a full round makes it anew."""

    status, code = 500, "group_graph_lost"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The group graph of the last tenant sync cannot be used: {reason}.")


class GroupGraphStore:
    """The graph of one run. What it writes counts once the checkpoint with its version is saved.

    Args:
        lease: the runner's number, part of the names of what it writes: nobody else writes over them.
    """

    def __init__(self, state: StateStore, version: GraphVersion, lease: int) -> None:
        self._state = state
        self._version = version
        self._lease = lease
        self._graph: GroupGraph | None = None
        self._parents: ParentIndex | None = None
        self._touched: set[int] = set()

    @property
    def graph(self) -> GroupGraph:
        """Raises GroupGraphLost."""
        if self._graph is None:
            self._load()
        assert self._graph is not None
        return self._graph

    def groups_of(self, object_id: str) -> tuple[str, ...]:
        """All live groups, sorted, that a user is in. The first call after a change looks at all edges."""
        node = self.graph.nodes.find(object_id)
        if node is None:
            return ()
        if self._parents is None:
            self._parents = ParentIndex(self.graph)
        return self.graph.closure(self._parents.direct_groups(node))

    def stored_bytes(self) -> int:
        """What is kept of the graph, in bytes."""
        names = (self._name(number, lease) for number, lease in enumerate(self._version.segments))
        return sum(len(state.data) for name in names if (state := self._state.get(name)))

    @property
    def has_news(self) -> bool:
        """Whether the graph changed since the users' records were told."""
        return self._version.applied < len(self._version.segments)

    @property
    def affected(self) -> list[int]:
        """The nodes whose memberships changed since then, in ascending order."""
        graph = self.graph
        below = graph.below(node for node in self._touched if graph.is_group(node))
        return sorted(self._touched | below)

    def apply(self, changes: Iterable[GroupChange]) -> None:
        for segment in apply(self.graph, changes, self._touched):
            self._write(segment)
            self._parents = None

    def start_anew(self) -> None:
        """Begins an empty graph; the old one becomes garbage."""
        self._discard()
        self._graph, self._parents, self._touched = GroupGraph(), None, set()

    def told(self) -> None:
        """The users' records say what the graph says now."""
        self._version.applied = len(self._version.segments)
        self._touched = set()

    def compact(self) -> None:
        """Rewrites the graph as one, if many changes have piled up. Only when nothing is to be told."""
        if len(self._version.segments) - self._version.base < CHANGES_KEPT:
            return
        graph = self.graph
        self._discard()
        for segment in apply(GroupGraph(), compacted(graph)):
            self._write(segment)
        self._graph = self._parents = None
        self.settle()

    def settle(self) -> None:
        """The segments so far are the base to which changes are added, and the users' records have been told."""
        self._version.base = len(self._version.segments)
        self.told()

    def sweep(self) -> None:
        """Deletes garbage; to be called after the checkpoint that names it was saved, and saved again."""
        for name in self._version.garbage:
            self._state.delete(name)
        self._version.garbage = []

    def disown(self, leases: Iterable[int]) -> None:
        """Marks as garbage what runners of these numbers may have written before they were killed, and not noted."""
        first = len(self._version.segments)
        for lease in leases:
            self._version.garbage += [self._name(number, lease) for number in range(first, first + _LEFT_BEHIND)]
            self._version.garbage += [self._name(number, lease, ahead=1) for number in range(_LEFT_BEHIND)]

    def _load(self) -> None:
        graph = GroupGraph()
        touched: set[int] = set()
        for number, lease in enumerate(self._version.segments):
            name = self._name(number, lease)
            state = self._state.get(name)
            if state is None:
                raise GroupGraphLost(f"its segment {number} is missing")
            try:
                replay(graph, state.data, touched if number >= self._version.applied else None)
            except (ValueError, IndexError) as error:
                raise GroupGraphLost(f"its segment {number} is spoilt") from error
        self._graph, self._touched = graph, touched

    def _write(self, segment: bytes) -> None:
        self._state.put(self._name(len(self._version.segments), self._lease), segment)
        self._version.segments.append(self._lease)

    def _discard(self) -> None:
        names = [self._name(number, lease) for number, lease in enumerate(self._version.segments)]
        self._version.garbage = list(dict.fromkeys(chain(self._version.garbage, names)))
        self._version.generation += 1
        self._version.segments, self._version.base, self._version.applied = [], 0, 0

    def _name(self, number: int, lease: int, ahead: int = 0) -> str:
        return f"tenant-sync|graph|{self._version.generation + ahead:08d}|{number:06d}|{lease:010d}"
