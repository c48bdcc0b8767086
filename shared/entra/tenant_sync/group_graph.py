"""Who is in which group, directly, and from that who is in which group at all.

Edges are kept as given, also those of deleted users and groups: Entra brings them back with a restored object without
saying so. What counts is edges between live groups.
"""

from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from sys import getsizeof

from shared.entra.tenant_sync.node_table import NodeTable


@dataclass
class GroupGraph:
    """Groups and their direct members, as numbers of a NodeTable.

    Members are arrays, four bytes for each, and sets in groups that have changed since.
    """

    nodes: NodeTable = field(default_factory=NodeTable)
    _members: "dict[int, array[int] | set[int]]" = field(default_factory=dict)
    _live: set[int] = field(default_factory=set)
    _ancestors: dict[int, frozenset[int]] = field(default_factory=dict)
    _group_parents: dict[int, list[int]] | None = None
    _names: dict[int, str] = field(default_factory=dict)

    # --- Changing ---

    def set_live(self, group: int, live: bool) -> set[int]:
        """Whether the group exists; its edges are kept either way. Returns the group if that is news."""
        self._members.setdefault(group, array("I"))
        if live == (group in self._live):
            return set()
        (self._live.add if live else self._live.discard)(group)
        return self._changed({group})

    def set_members(self, group: int, members: Iterable[int]) -> set[int]:
        """Replaces the group's members. Returns those added and removed."""
        wanted = set(members)
        news = wanted.symmetric_difference(self._members.get(group, ()))
        self._members[group] = array("I", wanted)
        return self._changed(news)

    def add_members(self, group: int, members: Iterable[int]) -> set[int]:
        """Returns those that were none before."""
        current = self._changeable(group)
        news = set(members).difference(current)
        current |= news
        return self._changed(news)

    def remove_members(self, group: int, members: Iterable[int]) -> set[int]:
        """Returns those that were members."""
        current = self._changeable(group)
        news = current.intersection(members)
        current -= news
        return self._changed(news)

    def set_parents(self, node: int, groups: Collection[int]) -> set[int]:
        """Makes the node a direct member of exactly these groups. Returns the node if that is news."""
        before = set(self.direct_groups([node])[node])
        for group in before.difference(groups):
            self.remove_members(group, [node])
        for group in set(groups).difference(before):
            self.add_members(group, [node])
        return {node} if before != set(groups) else set()

    def _changeable(self, group: int) -> set[int]:
        current = self._members.get(group)
        if not isinstance(current, set):
            current = self._members[group] = set(current or ())
        return current

    def _changed(self, nodes: set[int]) -> set[int]:
        if nodes:
            self._ancestors, self._group_parents = {}, None
        return nodes

    # --- Reading ---

    @property
    def groups(self) -> Iterator[int]:
        """All live groups."""
        return iter(self._live)

    @property
    def edges(self) -> int:
        return sum(map(len, self._members.values()))

    @property
    def memory(self) -> int:
        """Bytes held by nodes and edges, about."""
        return self.nodes.memory + sum(getsizeof(each) for each in self._members.values())

    def is_live(self, group: int) -> bool:
        return group in self._live

    def is_group(self, node: int) -> bool:
        return node in self._members

    def snapshot(self) -> Iterator[tuple[int, bool, Collection[int]]]:
        """Every group with whether it is live and its members."""
        for group, members in self._members.items():
            yield group, group in self._live, members

    def direct_groups(self, nodes: Collection[int]) -> dict[int, list[int]]:
        """The groups, dead ones too, that have each of these nodes as a direct member: one pass over all edges."""
        found: dict[int, list[int]] = {node: [] for node in nodes}
        wanted = set(found)
        for group, members in self._members.items():
            for node in wanted.intersection(members):
                found[node].append(group)
        return found

    def closure(self, direct: Iterable[int]) -> tuple[str, ...]:
        """The object ids, sorted, of the live groups among these and of all live groups that they are in."""
        reached: set[int] = set()
        for group in direct:
            if group in self._live and group not in reached:
                reached |= self._with_ancestors(group)
        return tuple(sorted(map(self._name, reached)))

    def _name(self, group: int) -> str:
        name = self._names.get(group)
        if name is None:
            name = self._names[group] = self.nodes.object_id(group)
        return name

    def below(self, groups: Iterable[int]) -> set[int]:
        """All members, direct and indirect, of these groups: users, and groups, live or not.

        Dead groups lead on as well: who is affected by a group's end was below it.
        """
        reached: set[int] = set()
        queue = list(groups)
        visited = set(queue)
        while queue:
            for node in self._members.get(queue.pop(), ()):
                reached.add(node)
                if node in self._members and node not in visited:
                    visited.add(node)
                    queue.append(node)
        return reached

    def _with_ancestors(self, group: int) -> frozenset[int]:
        known = self._ancestors.get(group)
        if known is None:
            parents = self._parents_of_groups()
            reached, queue = {group}, [group]
            while queue:
                for parent in parents.get(queue.pop(), ()):
                    if parent in self._live and parent not in reached:
                        reached.add(parent)
                        queue.append(parent)
            known = self._ancestors[group] = frozenset(reached)
        return known

    def _parents_of_groups(self) -> dict[int, list[int]]:
        if self._group_parents is None:
            self._group_parents = self.direct_groups(self._members.keys())
        return self._group_parents


class ParentIndex:
    """The direct groups of every node, for asking about all of them: four bytes for each node and each edge."""

    def __init__(self, graph: GroupGraph) -> None:
        counts = array("I", bytes(4 * (len(graph.nodes) + 1)))
        for _, _, members in graph.snapshot():
            for node in members:
                counts[node + 1] += 1
        self._starts = array("I", accumulate(counts))
        self._groups = array("I", bytes(4 * self._starts[-1]))
        cursor = array("I", self._starts)
        for group, _, members in graph.snapshot():
            for node in members:
                self._groups[cursor[node]] = group
                cursor[node] += 1

    def direct_groups(self, node: int) -> "array[int]":
        if node + 1 >= len(self._starts):
            return array("I")
        return self._groups[self._starts[node] : self._starts[node + 1]]

    @property
    def memory(self) -> int:
        return 4 * (len(self._starts) + len(self._groups))
