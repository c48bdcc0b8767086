"""A file that has its name only once all of it is on the disk, and that nobody but its owner can read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_BUFFER = 1024 * 1024


@contextmanager
def whole_file(path: Path, *, replace: bool = False) -> Iterator[IO[bytes]]:
    """Where an exception leaves the block, there is no new file. Without `replace` an existing one is left alone.

    Raises: FileExistsError, OSError.
    """
    if path.exists() and not replace:
        raise FileExistsError(17, "there is a file of that name already", str(path))
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb", _BUFFER) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
