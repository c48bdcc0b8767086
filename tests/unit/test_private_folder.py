"""The local copy of the directory is nobody else's to read or to prepare."""

import stat
from pathlib import Path

import pytest

from shared.private_folder import FolderNotPrivate, private_folder


def test_a_new_folder_is_this_accounts_alone_and_is_taken_again(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "replica")

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert private_folder(folder) == folder


def test_a_folder_that_others_can_get_into_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "replica"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)

    with pytest.raises(FolderNotPrivate, match="TMPDIR"):
        private_folder(folder)


def test_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "replica").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FolderNotPrivate):
        private_folder(tmp_path / "replica")
