"""Why there is no backup, or none that could be restored."""

from pathlib import Path

from shared.errors import AppError


class NothingToBackUp(AppError):
    status, code = 409, "directory_empty"

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"The directory of the tenant {tenant_id} is empty: there is nothing to back up.")


class DirectoryNotIntact(AppError):
    """The table does not hold what its own log says."""

    status, code = 409, "directory_not_intact"

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(
            f"The directory is not intact, so no backup was made of it: {key}: {problem}. "
            "`manage.py audit verify` lists all that is wrong."
        )


class DirectoryRestless(AppError):
    """The directory changed all the while, faster than the changes could be read."""

    status, code = 503, "directory_restless"

    def __init__(self) -> None:
        super().__init__(
            "The directory changes faster than it can be read, so no backup was made. Try again when less is going "
            "on: not while many users are being synchronized for the first time."
        )


class BackupUnusable(AppError):
    """The file is not a backup, or not all of one, or not the one that was written."""

    status, code = 422, "backup_unusable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be restored: {reason}. Nothing was changed.")


class RestoreRefused(AppError):
    """The file is good, but the directory is not in a state to take it."""

    status, code = 409, "restore_refused"
