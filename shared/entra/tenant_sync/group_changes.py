"""Changes to the group graph as bytes: what is kept between runs is a sequence of them, written as they are learned.

A segment holds the ids it numbers anew, then 32-bit words: an operation, its subject, the number of items, the items.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from shared.directory.state import MAX_BYTES
from shared.entra.tenant_sync.group_graph import GroupGraph

SEGMENT_BYTES = MAX_BYTES - 64 * 1024
"""A segment is one state."""
_HEADER = struct.Struct("<4sII")
_MAGIC = b"GRF1"


class Operation(IntEnum):
    LIVE = 1
    """The subject is an existing group."""
    DEAD = 2
    SET_MEMBERS = 3
    ADD_MEMBERS = 4
    REMOVE_MEMBERS = 5
    SET_PARENTS = 6
    """The subject, user or group, is a direct member of exactly the groups in the items."""


@dataclass(frozen=True, slots=True)
class GroupChange:
    """One change, by object id."""

    operation: Operation
    subject: str
    items: tuple[str, ...] = ()


def apply(graph: GroupGraph, changes: Iterable[GroupChange], touched: set[int] | None = None) -> list[bytes]:
    """Applies the changes to the graph; returns the segments that say the same, without what was said before.

    Args:
        touched: gets the nodes whose direct memberships, or existence as a group, changed.
    """
    segments: list[bytes] = []
    first_node = len(graph.nodes)
    words = array("I")
    for change in changes:
        for piece in _pieces(change):
            added = 16 * (len(graph.nodes) - first_node)
            if words and added + 4 * len(words) + 20 * len(piece.items) + 32 > SEGMENT_BYTES:
                segments.append(_segment(graph, first_node, words))
                first_node, words = len(graph.nodes), array("I")
            numbers = [graph.nodes.add(each) for each in (piece.subject, *piece.items)]
            news = _apply_one(graph, piece.operation, numbers[0], numbers[1:])
            if news:
                words.extend([piece.operation, numbers[0], len(numbers) - 1, *numbers[1:]])
                if touched is not None:
                    touched |= news
    if words or len(graph.nodes) > first_node:
        segments.append(_segment(graph, first_node, words))
    return segments


def replay(graph: GroupGraph, segment: bytes, touched: set[int] | None = None) -> None:
    """Applies a segment, after all that came before it. Raises ValueError if it is not the next one."""
    magic, first_node, added = _HEADER.unpack_from(segment)
    if magic != _MAGIC or first_node != len(graph.nodes):
        raise ValueError("not the next segment of this graph")
    at = _HEADER.size
    for number in range(added):
        if graph.nodes.add_bytes(segment[at : at + 16]) != first_node + number:
            raise ValueError("a segment numbers an id twice")
        at += 16
    _apply_words(graph, _words(segment[at:]), touched)


def compacted(graph: GroupGraph) -> Iterator[GroupChange]:
    """The changes that make the same graph from nothing."""
    for group, live, members in graph.snapshot():
        name = graph.nodes.object_id(group)
        yield GroupChange(Operation.LIVE if live else Operation.DEAD, name)
        yield GroupChange(Operation.SET_MEMBERS, name, tuple(map(graph.nodes.object_id, members)))


def _pieces(change: GroupChange) -> Iterator[GroupChange]:
    """The change, cut so that each piece fits into a segment: a group may have more members than one holds."""
    room = SEGMENT_BYTES // 24
    if change.operation is Operation.SET_MEMBERS and len(change.items) > room:
        yield GroupChange(change.operation, change.subject, change.items[:room])
        change = GroupChange(Operation.ADD_MEMBERS, change.subject, change.items[room:])
    while len(change.items) > room:
        yield GroupChange(change.operation, change.subject, change.items[:room])
        change = GroupChange(change.operation, change.subject, change.items[room:])
    yield change


def _segment(graph: GroupGraph, first_node: int, words: "array[int]") -> bytes:
    added = len(graph.nodes) - first_node
    if sys.byteorder == "big":
        words = array("I", words)
        words.byteswap()
    return _HEADER.pack(_MAGIC, first_node, added) + graph.nodes.packed(first_node, added) + words.tobytes()


def _words(data: bytes) -> "array[int]":
    words = array("I")
    words.frombytes(data)
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _operations(words: "array[int]") -> Iterator[tuple[int, int, Sequence[int]]]:
    at = 0
    while at < len(words):
        operation, subject, count = words[at : at + 3]
        yield operation, subject, words[at + 3 : at + 3 + count]
        at += 3 + count


def _apply_words(graph: GroupGraph, words: "array[int]", touched: set[int] | None) -> None:
    for operation, subject, items in _operations(words):
        news = _apply_one(graph, operation, subject, items)
        if touched is not None:
            touched |= news


def _apply_one(graph: GroupGraph, operation: int, subject: int, items: Sequence[int]) -> set[int]:
    match operation:
        case Operation.LIVE | Operation.DEAD:
            return graph.set_live(subject, operation == Operation.LIVE)
        case Operation.SET_MEMBERS:
            return graph.set_members(subject, items)
        case Operation.ADD_MEMBERS:
            return graph.add_members(subject, items)
        case Operation.REMOVE_MEMBERS:
            return graph.remove_members(subject, items)
        case Operation.SET_PARENTS:
            return graph.set_parents(subject, items)
        case _:
            raise ValueError("an unknown operation in a segment")
