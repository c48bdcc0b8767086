"""The same data in PostgreSQL, asked the way the Laravel original asks: `ILIKE`, `count(*)`, offset, a pg_trgm index.

The server is Debian's package `postgresql`, started here on a socket of its own and ended afterwards.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.population import NOW
from shared.context import Deadline
from shared.directory.reader import UserList
from shared.directory.records.certificate import (
    Certificate,
    CertificateKind,
    CertificateStatus,
    CertificateType,
    KeyOrigin,
)
from shared.directory.records.user import User
from shared.directory.replica.queries import (
    CertificateStatistics,
    CertificateSummary,
    Page,
    Statistics,
    UserQuery,
    UserStatistics,
    UserSummary,
    effective_status,
)

if TYPE_CHECKING:
    import psycopg

SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "512MB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "max_wal_size": "4GB",
}
TABLES = """
CREATE EXTENSION pg_trgm;
CREATE TABLE users (
    id bigint PRIMARY KEY, entra_id uuid, entra_upn text, name text NOT NULL, email text, is_active boolean NOT NULL,
    user_type text, entra_last_sync timestamptz, entra_deleted_at timestamptz,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE TABLE certificates (
    id bigint PRIMARY KEY, kind text NOT NULL, user_id bigint, certificate_type text, status text NOT NULL,
    issuer_id text NOT NULL, issuer text NOT NULL, serial_number text NOT NULL, subject text NOT NULL,
    not_before timestamptz NOT NULL, not_after timestamptz NOT NULL, key_type text NOT NULL, key_size integer NOT NULL,
    key_origin text NOT NULL, user_principal_name text, email text, fingerprint text, issued_at timestamptz,
    revoked_at timestamptz, revocation_reason text, revocation_source text,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, renews bigint, renewed_by bigint,
    notice_days integer, noticed_at timestamptz
);
"""
INDEXES = """
CREATE INDEX ON users USING gin (name gin_trgm_ops, email gin_trgm_ops, entra_upn gin_trgm_ops);
CREATE INDEX ON users (name, id);
CREATE INDEX ON users (entra_last_sync, id);
CREATE INDEX ON certificates (user_id);
CREATE INDEX ON certificates (status, not_after);
"""
ORDERS = {"id": "id", "name": "name, id", "synced_at": "entra_last_sync DESC, id DESC"}
USER_COLUMNS = (
    "id, entra_id::text, entra_upn, name, email, is_active, user_type, entra_last_sync, entra_deleted_at,"
    " created_at, updated_at"
)
CERTIFICATE_COLUMNS = ", ".join(Certificate.REPLICATED)
ENUMS = {
    "kind": CertificateKind,
    "certificate_type": CertificateType,
    "status": CertificateStatus,
    "key_origin": KeyOrigin,
}
USER_COUNTS = {
    "total": "TRUE",
    "active": "is_active",
    "inactive": "NOT is_active",
    "deleted": "entra_deleted_at IS NOT NULL",
    "synced_last_24h": "entra_last_sync >= %(day_ago)s",
    "guests": "user_type = 'Guest'",
}
CERTIFICATE_COUNTS = {
    "total": "TRUE",
    "active": "status = 'issued' AND not_after >= %(now)s",
    "revoked": "status IN ('revoked', 'held')",
    "expired": "status = 'issued' AND not_after < %(now)s",
    "pending": "status = 'pending'",
    "expiring_30_days": "status = 'issued' AND not_after BETWEEN %(now)s AND %(soon)s",
}


class PostgresMissing(Exception):
    """There is no server or no client on this machine; the message says which."""


class Postgres:
    """A running server with the population in it, and the reader that the handlers get."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection

    @classmethod
    @contextlib.contextmanager
    def start(cls, folder: Path) -> Iterator["Postgres"]:
        """Raises: PostgresMissing."""
        try:
            import psycopg
        except ImportError as error:
            raise PostgresMissing("the Python package psycopg is not installed") from error
        server = _Server(_programs(), folder)
        server.start()
        try:
            with psycopg.connect(server.address, autocommit=True, prepare_threshold=None) as connection:
                yield cls(connection)
        finally:
            server.stop()

    def load(self, users: Iterable[User], certificates: Iterable[Certificate]) -> None:
        self._connection.execute(TABLES)  # type: ignore[arg-type,unused-ignore]
        with self._connection.cursor() as cursor:
            with cursor.copy("COPY users FROM STDIN") as copy:
                for user in users:
                    copy.write_row(_plain(user))
            with cursor.copy("COPY certificates FROM STDIN") as copy:
                for certificate in certificates:
                    copy.write_row(_plain(certificate))

    def index(self) -> None:
        for statement in (*INDEXES.strip().split("\n"), "VACUUM ANALYZE users", "VACUUM ANALYZE certificates"):
            self._connection.execute(statement)  # type: ignore[call-overload,unused-ignore]

    def size(self) -> int:
        """Bytes of the tables and their indexes."""
        query = "SELECT pg_total_relation_size('users') + pg_total_relation_size('certificates')"
        return int(self._row(query, {})[0])

    def users(self, query: UserQuery, deadline: Deadline) -> UserList:  # noqa: ARG002  (the reader's signature)
        where, values = _condition(query)
        (total,) = self._row(f"SELECT count(*) FROM users WHERE {where}", values)
        rows = self._all(
            f"SELECT {USER_COLUMNS} FROM users WHERE {where} ORDER BY {ORDERS[query.sort]}"
            " LIMIT %(limit)s OFFSET %(offset)s",
            {**values, "limit": query.per_page, "offset": (query.page - 1) * query.per_page},
        )
        items = tuple(UserSummary(**dict(zip(User.REPLICATED, row, strict=True))) for row in rows)
        page = Page(items=items, total=total, page=query.page, per_page=query.per_page)
        return UserList(page, self._active_certificates([item.id for item in items]))

    def statistics(self, deadline: Deadline) -> Statistics:  # noqa: ARG002
        moments = {"day_ago": NOW - timedelta(hours=24), "now": NOW, "soon": NOW + timedelta(days=30)}
        counts = self._row(f"SELECT {_counts(USER_COUNTS)} FROM users WHERE entra_id IS NOT NULL", moments)
        certificate_counts = self._row(f"SELECT {_counts(CERTIFICATE_COUNTS)} FROM certificates", moments)
        by_type = self._all("SELECT certificate_type, count(*) FROM certificates GROUP BY 1", {})
        by_reason = self._all(
            "SELECT coalesce(revocation_reason, 'unspecified'), count(*) FROM certificates"
            " WHERE status IN ('revoked', 'held') GROUP BY 1",
            {},
        )
        return Statistics(
            users=UserStatistics(**dict(zip(USER_COUNTS, counts, strict=True))),
            certificates=CertificateStatistics(
                **dict(zip(CERTIFICATE_COUNTS, certificate_counts, strict=True)),
                by_type=dict(by_type),
                revoked_by_reason=dict(by_reason),
            ),
        )

    def _active_certificates(self, user_ids: list[int]) -> dict[int, tuple[CertificateSummary, ...]]:
        rows = self._all(
            f"SELECT {CERTIFICATE_COLUMNS} FROM certificates WHERE user_id = ANY(%(ids)s) AND kind = 'entra_user'"
            " AND status = 'issued' AND not_after >= %(now)s ORDER BY id",
            {"ids": user_ids, "now": NOW},
        )
        found: dict[int, list[CertificateSummary]] = {}
        for row in rows:
            values = {name: _typed(name, value) for name, value in zip(Certificate.REPLICATED, row, strict=True)}
            status = effective_status(values["status"], values["not_after"], NOW)
            found.setdefault(values["user_id"], []).append(CertificateSummary(**values, effective_status=status))
        return {user_id: tuple(certificates) for user_id, certificates in found.items()}

    def _all(self, query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()  # type: ignore[call-overload,no-any-return,unused-ignore]

    def _row(self, query: str, values: dict[str, Any]) -> tuple[Any, ...]:
        (row,) = self._all(query, values)
        return row


class _Server:
    """`postgres` on a Unix socket in a folder of its own. It refuses to run as root, so root lends it to its user."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        user = "postgres" if self._as_user else pwd.getpwuid(os.geteuid()).pw_name
        return f"host={self._folder} dbname=postgres user={user}"

    def start(self) -> None:
        if self._as_user:
            shutil.chown(self._folder, "postgres")
        data = self._folder / "data"
        self._run("initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        command: list[str | Path] = [*self._as_user, self._programs / "postgres", "-D", data, "-k", self._folder]
        self._process = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL, cwd=self._folder)
        is_ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self._folder)]
        for _ in range(300):
            if subprocess.run(is_ready, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise PostgresMissing("the server did not start within 30 s")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._folder / "data", "-m", "fast", "-w", "stop")
        assert self._process is not None
        self._process.wait(30)

    def _run(self, program: str, *arguments: str | Path) -> None:
        command: list[str | Path] = [*self._as_user, self._programs / program, *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self._folder)


def _programs() -> Path:
    """Where Debian puts the newest server's programs; they are not on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        raise PostgresMissing("no PostgreSQL server is installed (apt-get install postgresql)")
    return found[-1].parent


def _condition(query: UserQuery) -> tuple[str, dict[str, Any]]:
    parts, values = ["entra_id IS NOT NULL"], dict[str, Any]()
    if query.active is not None:
        parts.append("is_active = %(active)s")
        values["active"] = query.active
    if query.synced_since is not None:
        parts.append("entra_last_sync >= %(since)s")
        values["since"] = query.synced_since
    if query.search:
        parts.append("(name ILIKE %(search)s OR email ILIKE %(search)s OR entra_upn ILIKE %(search)s)")
        escaped = query.search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        values["search"] = f"%{escaped}%"
    return " AND ".join(parts), values


def _counts(counts: dict[str, str]) -> str:
    return ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in counts.values())


def _plain(record: User | Certificate) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in record.REPLICATED)


def _typed(name: str, value: Any) -> Any:
    return ENUMS[name](value) if name in ENUMS and value is not None else value
