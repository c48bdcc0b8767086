"""Builds the deployment package: a zip of what `.funcignore` leaves, the same bytes for the same files.

`azd` and `func` make their own package by the same rules; this one is for deploying by `az`, for looking at, and for
the tests. Dependencies are not in it: Azure installs requirements.txt when it is deployed.
"""

import argparse
import hashlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

ROOT = Path(__file__).resolve().parent.parent
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can say; the real ones would make each package another
MODE = 0o100644 << 16  # a file that all may read


class NotPackageable(Exception):
    """Something in the folder must not be followed into a package."""


def package_files(root: Path) -> list[Path]:
    """The files that are deployed, relative to `root`, in order. Raises: NotPackageable for a symbolic link."""
    ignored = GitIgnoreSpec.from_lines((root / ".funcignore").read_text(encoding="utf-8").splitlines())
    return sorted(_files(root, root, ignored))


def build(root: Path, target: Path) -> list[Path]:
    """Writes the package and gives the files in it."""
    files = package_files(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
        for path in files:
            entry = zipfile.ZipInfo(path.as_posix(), EARLIEST)
            entry.external_attr = MODE
            package.writestr(entry, (root / path).read_bytes(), zipfile.ZIP_DEFLATED)
    return files


def _files(root: Path, folder: Path, ignored: GitIgnoreSpec) -> Iterator[Path]:
    for entry in os.scandir(folder):
        path = Path(entry.path).relative_to(root)
        is_folder = entry.is_dir(follow_symlinks=False)
        if ignored.match_file(f"{path.as_posix()}/" if is_folder else path.as_posix()):
            continue
        if entry.is_symlink():
            raise NotPackageable(f"{path} is a symbolic link: list it in .funcignore, or put the file in its place.")
        if is_folder:
            yield from _files(root, root / path, ignored)
        else:
            yield path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target", type=Path, nargs="?", default=ROOT / "dist" / "app.zip")
    parser.add_argument("--list", action="store_true", help="name the files in it")
    arguments = parser.parse_args()
    target: Path = arguments.target.resolve()
    files = build(ROOT, target)
    if arguments.list:
        print(*(path.as_posix() for path in files), sep="\n")
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    shown = target.relative_to(ROOT) if target.is_relative_to(ROOT) else target
    print(f"{shown}: {len(files)} files, {target.stat().st_size / 1024:.0f} KiB, SHA-256 {digest}")


if __name__ == "__main__":
    main()
