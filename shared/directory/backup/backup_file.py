"""The file of a backup: gzip of JSON lines, so that `zcat FILE | jq` shows what is in it.

The first line says of whom and since when. Then rows, `["<key>", {…}]` each: the log from its beginning, the records,
and what changed meanwhile, log rows and records again. A later state of a record replaces an earlier one, and `null`
says that it is gone. The last line says how far the log goes, and has the SHA-256 of all lines before it.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.directory.backup.errors import BackupUnusable
from shared.directory.head import Head, decode_head_fields, encode_head
from shared.directory.records.base import Row, canonical_bytes, format_time, from_plain, parse_time
from shared.directory.whole_file import whole_file

FORMAT = "entra-pki directory backup"
VERSION = 1
_LONGEST_LINE = 4 * 1024 * 1024
"""A row has 1 MiB at most as JSON, base64 included."""


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What is in a backup, from its first and last lines.

    Attributes:
        started_at: what was committed before is in it.
        head: of the ledger, as of the last log row in it.
        sha256: of all lines but the last; names the backup.
    """

    tenant_id: str
    started_at: datetime
    head: Head
    log_rows: int
    records: int
    sha256: str


class BackupWriter:
    """Writes the lines. Use `new_backup`."""

    def __init__(self, file: gzip.GzipFile, tenant_id: str, started_at: datetime) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._tenant_id = tenant_id
        self._started_at = started_at
        first = {"format": FORMAT, "version": VERSION, "tenant_id": tenant_id, "started_at": format_time(started_at)}
        self._write(json.dumps(first).encode())

    def write(self, key: str, row: Row | None) -> None:
        content = b"null" if row is None else canonical_bytes(row)
        self._write(b"[" + json.dumps(key).encode() + b"," + content + b"]")

    def finish(self, head: Head, log_rows: int, records: int) -> BackupSummary:
        sha256 = self._digest.hexdigest()
        last = {"head": encode_head(head), "log_rows": log_rows, "records": records, "sha256": sha256}
        self._file.write(json.dumps(last).encode() + b"\n")
        return BackupSummary(self._tenant_id, self._started_at, head, log_rows, records, sha256)

    def _write(self, line: bytes) -> None:
        line += b"\n"
        self._digest.update(line)
        self._file.write(line)


@contextmanager
def new_backup(path: Path, tenant_id: str, started_at: datetime) -> Iterator[BackupWriter]:
    """Raises: FileExistsError, OSError."""
    with (
        whole_file(path) as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6) as file,
    ):
        yield BackupWriter(file, tenant_id, started_at)


class BackupReader:
    """Reads the lines, once. Raises BackupUnusable where the file is not what `BackupWriter` wrote."""

    def __init__(self, file: gzip.GzipFile, path: Path) -> None:
        self._file = file
        self._path = path
        self._digest = hashlib.sha256()
        self.line = 0
        """The number of the line just read, from 1."""
        first = self._parsed(self._next_line())
        if not isinstance(first, dict) or first.get("format") != FORMAT:
            raise self.unusable("it is no backup of a directory")
        if first.get("version") != VERSION:
            raise self.unusable(f"its version is {first.get('version')}, and this program reads {VERSION}")
        try:
            self.tenant_id = str(first["tenant_id"])
            self._started_at = parse_time(first["started_at"])
        except (KeyError, ValueError, TypeError):
            raise self.unusable("its first line is damaged") from None
        self.summary: BackupSummary | None = None
        """Once all rows were read."""

    def rows(self) -> Iterator[tuple[str, Row | None]]:
        """Key and row of each line; afterwards the summary is there, and it holds for the lines that were read."""
        while True:
            sha256 = self._digest.hexdigest()
            content = self._parsed(self._next_line())
            if isinstance(content, dict):
                self.summary = self._summary(content, sha256)
                return
            yield self._row(content)

    def unusable(self, reason: str) -> BackupUnusable:
        return BackupUnusable(self._path, reason)

    def _next_line(self) -> bytes:
        try:
            line = self._file.readline(_LONGEST_LINE)
        except EOFError:
            raise self.unusable(f"it is cut off after line {self.line}") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            what = f"it is damaged after line {self.line}" if self.line else "it is no backup of a directory"
            raise self.unusable(f"{what} ({error})") from None
        if not line.endswith(b"\n"):
            raise self.unusable(f"it is cut off after line {self.line}")
        self.line += 1
        self._digest.update(line)
        return line

    def _parsed(self, line: bytes) -> Any:
        try:
            return json.loads(line)
        except ValueError:
            raise self.unusable(f"line {self.line} is damaged") from None

    def _row(self, content: Any) -> tuple[str, Row | None]:
        try:
            key, properties = content
            if not isinstance(key, str):
                raise TypeError
            return key, None if properties is None else {name: from_plain(v) for name, v in properties.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self.unusable(f"line {self.line} is damaged") from None

    def _summary(self, content: dict[str, Any], sha256: str) -> BackupSummary:
        if content.get("sha256") != sha256:
            raise self.unusable("its content has another SHA-256 than its last line says")
        try:
            head = decode_head_fields(content["head"])
            counts = int(content["log_rows"]), int(content["records"])
        except (KeyError, ValueError, TypeError, AttributeError):
            raise self.unusable("its last line is damaged") from None
        if self._file.read(1):
            raise self.unusable("something follows its last line")
        return BackupSummary(self.tenant_id, self._started_at, head, *counts, sha256)


@contextmanager
def open_backup(path: Path) -> Iterator[BackupReader]:
    """Raises: OSError, BackupUnusable."""
    with path.open("rb") as raw, gzip.GzipFile(fileobj=raw, mode="rb") as file:
        yield BackupReader(file, path)
