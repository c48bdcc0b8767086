"""A Bicep file as its declarations and the names that it uses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))
_DECLARATIONS = {
    "parameter_declaration",
    "variable_declaration",
    "resource_declaration",
    "module_declaration",
    "output_declaration",
}


@dataclass(frozen=True)
class Declaration:
    kind: str
    name: str
    node: Node
    decorators: tuple[Node, ...]


class Template:
    """A parsed file: its declarations by name, and the names that it uses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        root = parse(path.read_bytes())
        self.errors = [f"{path.name}:{node.start_point.row + 1}" for node in walk(root) if node.is_error]
        self.errors += [f"{path.name}:{node.start_point.row + 1}" for node in walk(root) if node.is_missing]
        self.declarations = {found.name: found for found in declarations(root) if found.kind != "output"}
        self.outputs = {found.name: found for found in declarations(root) if found.kind == "output"}
        self.identifiers = [text(node) for node in walk(root) if node.type == "identifier" and _is_use(node)]

    def parameters(self) -> Mapping[str, Declaration]:
        return {name: found for name, found in self.declarations.items() if found.kind == "parameter"}

    def unused(self) -> list[str]:
        """Parameters and variables that nothing uses."""
        values = [found.name for found in self.declarations.values() if found.kind in ("parameter", "variable")]
        return [name for name in values if name not in self.identifiers]


def parse(source: bytes) -> Node:
    return _PARSER.parse(source).root_node


def declarations(root: Node) -> Iterator[Declaration]:
    decorators: tuple[Node, ...] = ()
    for node in root.named_children:
        if node.type == "decorators":
            decorators = tuple(node.named_children)
        elif node.type in _DECLARATIONS:
            yield Declaration(node.type.partition("_")[0], text(node.named_children[0]), node, decorators)
            decorators = ()


def _is_use(node: Node) -> bool:
    """Whether the identifier names a declaration, rather than being declared or being a key of an object."""
    parent = node.parent
    if parent is None:
        return False
    first = parent.named_children[0] == node
    return not (first and (parent.type in _DECLARATIONS or parent.type in ("object_property", "call_expression")))


def code(node: Node) -> list[Node]:
    return [child for child in node.named_children if child.type != "comment"]


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def text(node: Node) -> str:
    return (node.text or b"").decode()
