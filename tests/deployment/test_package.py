"""The deployment package: what the app needs, nothing else, and the same whoever makes it."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.package import NotPackageable, build, package_files
from local.processes import REPOSITORY
from tests.support.shipped import Shipped

AT_THE_ROOT = {"function_app.py", "host.json", "requirements.txt"}
FOLDERS = {"functions", "shared"}
OPTIONAL = ("pkcs11", "opentelemetry", "azure.monitor")
"""What an operator adds to requirements.txt for what is off by default."""
NOT_DEPLOYED = (
    ".env",
    ".azure/prod/.env",
    ".git/config",
    ".local/run/ca/issuer.pem",
    ".venv/lib/python3.11/site-packages/requests/__init__.py",
    "__pycache__/function_app.cpython-311.pyc",
    "benchmarks/bench_ledger.py",
    "demo-output/client_auth.pem",
    "dist/app.zip",
    "functions/.DS_Store",
    "functions/__pycache__/health.cpython-311.pyc",
    "infra/main.bicep",
    "issuer.pem",
    "LICENSE",
    "local/demo.py",
    "local/azurite/node_modules/azurite/package.json",
    "local.settings.json",
    "local.settings.sample.json",
    "manage.py",
    "node_modules/x/index.js",
    "README.md",
    "requirements-dev.txt",
    "shared/cli/ca.py",
    "shared/pki/__pycache__/issuance.cpython-311.pyc",
    "tests/conftest.py",
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The app's own files, among what else lies about on a developer's machine."""
    for name in AT_THE_ROOT | {".funcignore"}:
        shutil.copy2(REPOSITORY / name, tmp_path / name)
    for name in FOLDERS:
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in NOT_DEPLOYED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("not deployed")
    return tmp_path


def modules_of_the_app() -> set[str]:
    found = (path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))
    return {path.relative_to(REPOSITORY).as_posix() for path in found if "cli" not in path.parts}


def test_it_holds_the_app(source: Path) -> None:
    files = {path.as_posix() for path in package_files(source)}

    assert files >= AT_THE_ROOT | modules_of_the_app()


def test_it_holds_nothing_else(source: Path) -> None:
    files = {path.as_posix() for path in package_files(source)}

    assert files & set(NOT_DEPLOYED) == set()
    others = {path for path in files - AT_THE_ROOT if path.partition("/")[0] not in FOLDERS}
    assert others == set()


def test_nothing_new_in_the_repository_slips_into_it() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git repository")
    known = set(tracked.stdout.decode().split("\0"))

    packaged = {path.as_posix() for path in package_files(REPOSITORY)} & known

    assert {path for path in packaged if path.partition("/")[0] not in AT_THE_ROOT | FOLDERS} == set()


def test_func_would_put_the_same_files_into_it(source: Path) -> None:
    ignored = [func_pattern(line) for line in (source / ".funcignore").read_text().splitlines() if line[:1] not in "#"]
    all_files = (path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())

    by_func = {path for path in all_files if not any(pattern.match(path) for pattern in ignored)}

    assert by_func == {path.as_posix() for path in package_files(source)}


def func_pattern(line: str) -> re.Pattern[str]:
    """How Azure Functions Core Tools understand a line of .funcignore (their GitIgnoreParser)."""
    return re.compile(re.escape(line.removeprefix("/")).replace(r"\*\*", ".+").replace(r"\*", "[^/]+"))


def test_the_same_files_make_the_same_package(source: Path) -> None:
    build(source, source / "dist" / "one.zip")
    (source / "host.json").touch()
    build(source, source / "dist" / "two.zip")

    assert (source / "dist" / "one.zip").read_bytes() == (source / "dist" / "two.zip").read_bytes()


def test_what_comes_out_is_what_went_in(source: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    unpacked = tmp_path_factory.mktemp("unpacked")
    files = build(source, source / "dist" / "app.zip")
    with zipfile.ZipFile(source / "dist" / "app.zip") as package:
        package.extractall(unpacked)

    assert sorted(path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()) == files
    assert all((unpacked / path).read_bytes() == (source / path).read_bytes() for path in files)


def test_a_symbolic_link_is_not_followed(source: Path) -> None:
    (source / "shared" / "elsewhere.py").symlink_to(REPOSITORY / "manage.py")

    with pytest.raises(NotPackageable, match=r"shared/elsewhere\.py"):
        package_files(source)


def test_every_package_that_is_imported_anywhere_comes_with_requirements_txt(tmp_path: Path) -> None:
    shipped = Shipped.unpack(tmp_path)
    imported = {name: path.relative_to(shipped.root) for path in shipped.root.rglob("*.py") for name in imports(path)}

    missing = {name: path for name, path in imported.items() if not brought_along(name, shipped)}

    assert {name: path for name, path in missing.items() if not name.startswith(OPTIONAL)} == {}


def brought_along(module: str, shipped: Shipped) -> bool:
    paths = [folder.joinpath(*module.split(".")) for folder in (shipped.packages, shipped.root)]
    return any(path.is_dir() or any(path.parent.glob(f"{path.name}.*")) for path in paths)


def imports(path: Path) -> Iterator[str]:
    """The modules of others that a file imports at its top or inside its functions."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in names if name.partition(".")[0] not in sys.stdlib_module_names | FOLDERS)
