"""Who may import whom, as docs/architecture.md says; imports for type checkers only do not count."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMON = frozenset({"context", "errors", "telemetry"})
"""What everybody may use."""
ALLOWED: Mapping[str, frozenset[str]] = {
    "context": frozenset(),
    "errors": frozenset(),
    "telemetry": frozenset(),
    "directory": frozenset(),
    "entra": frozenset({"directory"}),
    "pki": frozenset({"directory", "private_folder", "settings"}),
    "api": frozenset({"directory", "entra", "pki", "health", "services", "settings"}),
}
SHIPPED = ("shared", "functions", "infra")


def imports(path: Path) -> Iterator[str]:
    """The full names of what a module imports, wherever it does so."""
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _running(node)


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    folder = ROOT / "shared" / package
    paths = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    assert paths
    allowed = ALLOWED[package] | COMMON | {package}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in imports(path)
        if name.startswith("shared.") and name.split(".")[1] not in allowed
    ]
    assert not wrong


@pytest.mark.parametrize("folder", SHIPPED)
def test_what_is_deployed_does_not_need_what_is_not(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in imports(path)
        if name.split(".")[0] in {"tests", "local", "benchmarks"}
    ]
    assert not wrong
