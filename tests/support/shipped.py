"""What runs in Azure, on this machine: the unpacked deployment package, and a folder with the packages that
requirements.txt brings, those that they require in turn, and no other.

The folder is made of links to what is installed here, at the versions of requirements.txt; nothing is downloaded.
"""

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from infra.package import build
from local.processes import REPOSITORY

WORKER = ("azure-functions-runtime", "azurefunctions-extensions-base", "grpcio", "protobuf")
"""What the Functions worker brings along."""


@dataclass(frozen=True)
class Shipped:
    """The app's root, and the folder with all packages that it can import there."""

    root: Path
    packages: Path

    @classmethod
    def unpack(cls, folder: Path) -> "Shipped":
        """Raises: PackageNotFoundError, AssertionError for another version than requirements.txt asks for."""
        root, packages = folder / "app", folder / "packages"
        build(REPOSITORY, folder / "app.zip")
        with zipfile.ZipFile(folder / "app.zip") as package:
            package.extractall(root)
        lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
        required = _closure(line for line in lines if line and not line.startswith("#"))
        for found in (*required, *map(distribution, WORKER)):
            _link(found, packages)
        return cls(root, packages)


def _link(found: Distribution, folder: Path) -> None:
    for file in found.files or ():
        target = folder / file
        if ".." in file.parts or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(Path(str(found.locate_file(file))).resolve())


def _closure(requirements: Iterable[str]) -> Iterator[Distribution]:
    waiting = [Requirement(each) for each in requirements]
    seen: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        found = distribution(wanted.name)
        assert wanted.specifier.contains(found.version, prereleases=True), f"{wanted} is here as {found.version}"
        for extra in ("", *wanted.extras):
            if (key := f"{found.name}[{extra}]") not in seen:
                seen.add(key)
                waiting += _required(found, extra)
        yield found


def _required(found: Distribution, extra: str) -> Iterator[Requirement]:
    """What it requires with this extra, or always where that is empty."""
    for required in map(Requirement, found.requires or ()):
        if required.marker.evaluate({"extra": extra}) if required.marker else not extra:
            yield required
