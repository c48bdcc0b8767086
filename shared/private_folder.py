"""A folder that no other account of the machine can read, write or have prepared."""

import os
import stat
from pathlib import Path

from shared.errors import AppError


class FolderNotPrivate(AppError):
    """Somebody else owns, or can get into, the folder that this app keeps its copy of the directory in."""

    status, code = 503, "folder_not_private"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} is not a folder of this account's alone; remove it, or point TMPDIR to another place."
        )


def private_folder(folder: Path) -> Path:
    """Makes the folder with mode 0700, or checks that it is such. Raises FolderNotPrivate."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise FolderNotPrivate(folder)
    return folder
