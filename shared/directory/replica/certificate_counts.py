"""How many certificates there are of each sort, kept up to date rather than counted.

Whether an issued certificate is active or expired changes with time alone, so issued ones are counted by the day on
which they end; what ends on the very day in question is counted one by one.
"""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.directory.records.certificate import CertificateStatus
from shared.directory.replica.schema import REASON

OF_USERS = "kind = 'entra_user'"
"""Not the CA's own."""

DAY = timedelta(days=1) // timedelta(microseconds=1)
BEGINNING, END = -(2**62), 2**62
"""Microseconds, before and after every certificate's end."""

_GROUP = f"""
issuer_number, status, coalesce(certificate_type, ''), {REASON},
CASE status WHEN 'issued' THEN not_after / {DAY} ELSE 0 END
"""
_INSERT = """
INSERT INTO certificate_counts VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (issuer_number, status, certificate_type, revocation_reason, day)
DO UPDATE SET count = count + excluded.count
"""


@dataclass(frozen=True, slots=True)
class Sort:
    """SQL conditions that both `certificates` and `certificate_counts` understand, with their named values."""

    condition: str
    values: Mapping[str, Any]

    def count(self, connection: sqlite3.Connection) -> int:
        """Of whatever status."""
        return self._sum(connection, "TRUE")

    def count_issued(self, connection: sqlite3.Connection, first: int = BEGINNING, last: int = END) -> int:
        """Of the issued ones, those whose last valid moment is in first … last (microseconds, both included)."""
        if last < first:
            return 0
        first_day, last_day = first // DAY, last // DAY
        if first_day == last_day:
            return self._count_ending(connection, first, last)
        return (
            self._count_ending(connection, first, (first_day + 1) * DAY - 1)
            + self._sum(connection, "status = 'issued' AND day > :a AND day < :b", a=first_day, b=last_day)
            + self._count_ending(connection, last_day * DAY, last)
        )

    def count_with(self, connection: sqlite3.Connection, status: CertificateStatus) -> int:
        return self._sum(connection, "status = :status", status=status.value)

    def _sum(self, connection: sqlite3.Connection, condition: str, **values: Any) -> int:
        (total,) = connection.execute(
            f"SELECT coalesce(sum(count), 0) FROM certificate_counts WHERE {condition} AND {self.condition}",
            {**self.values, **values},
        ).fetchone()
        return int(total)

    def _count_ending(self, connection: sqlite3.Connection, first: int, last: int) -> int:
        (total,) = connection.execute(
            f"SELECT count(*) FROM certificates INDEXED BY certificates_by_end WHERE {OF_USERS}"
            f" AND status = 'issued' AND not_after BETWEEN :a AND :b AND {self.condition}",
            {**self.values, "a": first, "b": last},
        ).fetchone()
        return int(total)


EVERY_SORT = Sort("TRUE", {})


class CertificateCounter:
    """Keeps `certificate_counts` in step with `certificates`, inside the transaction that changes them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._steps: Counter[tuple[Any, ...]] = Counter()

    def note(self, certificate_id: int, step: int) -> None:
        """Adds the certificate as it is stored now (+1), or takes it off (-1); the CA's own are not counted."""
        group = self._connection.execute(
            f"SELECT {_GROUP} FROM certificates WHERE id = ? AND {OF_USERS}", (certificate_id,)
        ).fetchone()
        if group:
            self._steps[group] += step

    def flush(self) -> None:
        self._connection.executemany(_INSERT, ((*group, step) for group, step in self._steps.items() if step))
        self._steps.clear()

    def fill(self) -> None:
        """Counts everything anew."""
        self._connection.execute("DELETE FROM certificate_counts")
        self._connection.execute(
            f"INSERT INTO certificate_counts SELECT {_GROUP}, count(*) FROM certificates WHERE {OF_USERS}"
            " GROUP BY 1, 2, 3, 4, 5"
        )
