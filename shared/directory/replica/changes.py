"""Writes changed records into the replica: the one place that knows what a row becomes there."""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import sqlite3
from collections import Counter
from typing import Any

from shared.directory.records.base import Row
from shared.directory.records.certificate import Certificate
from shared.directory.records.user import Group, User
from shared.directory.replica.schema import SAME_AS_UPN
from shared.directory.replica.text_folding import searchable_text
from shared.directory.replica.values import pack_guid, pack_hex, pack_text_time

REPLICATED_KINDS = {kind.KIND: kind for kind in (User, Group, Certificate)}

_USER = "INSERT OR REPLACE INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LISTING = "INSERT OR REPLACE INTO listing VALUES (?, ?, ?, ?)"
_CERTIFICATE = f"INSERT OR REPLACE INTO certificates VALUES ({', '.join('?' * 22)})"
_INDEX = "INSERT INTO trigrams (rowid, folded) VALUES (?, ?)"
_UNINDEX = "INSERT INTO trigrams (trigrams, rowid, folded) VALUES ('delete', ?, ?)"


class ChangeWriter:
    """Applies rows inside a transaction that the caller begins and ends; `flush` before it ends."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._counts: Counter[str] = Counter()
        self._issuers: dict[tuple[str, str], int] = {
            (issuer_id, issuer): number
            for number, issuer_id, issuer in connection.execute("SELECT number, issuer_id, issuer FROM issuers")
        }

    def put(self, key: str, row: Row) -> None:
        """The record's replicated row, as of now. Kinds that are not replicated are left out."""
        match key.partition("|")[0]:
            case User.KIND:
                self._put_user(row)
            case Certificate.KIND:
                self._put_certificate(row)
            case Group.KIND:
                self._connection.execute(
                    "INSERT OR REPLACE INTO groups VALUES (?, ?)",
                    (pack_guid(str(row["object_id"])), row["display_name"]),
                )

    def delete(self, key: str) -> None:
        """The record is gone. Of the replicated kinds only groups ever go; the others are kept for good."""
        kind, _, rest = key.partition("|")
        if kind == Group.KIND:
            self._connection.execute("DELETE FROM groups WHERE object_id = ?", (pack_guid(rest),))
        elif kind == User.KIND:
            self._remove_user(int(rest))
        elif kind == Certificate.KIND:
            self._connection.execute("DELETE FROM certificates WHERE id = ?", (int(rest),))

    def flush(self) -> None:
        """Writes what was only counted so far."""
        self._connection.executemany(
            "INSERT INTO user_counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            self._counts.items(),
        )
        self._counts.clear()

    def _put_user(self, row: Row) -> None:
        user_id = int(row["id"])
        if "object_id" not in row:  # local: not in the synchronized list
            self._remove_user(user_id)
            return
        listing = listing_row(row)
        before = self._connection.execute("SELECT folded FROM listing WHERE id = ?", (user_id,)).fetchone()
        self._count(user_id, -1)
        self._connection.execute(_USER, user_row(row))
        self._connection.execute(_LISTING, listing)
        self._count(user_id, 1)
        if before is None or before[0] != listing[-1]:
            if before is not None:
                self._connection.execute(_UNINDEX, (user_id, before[0]))
            self._connection.execute(_INDEX, (user_id, listing[-1]))

    def _remove_user(self, user_id: int) -> None:
        before = self._connection.execute("SELECT folded FROM listing WHERE id = ?", (user_id,)).fetchone()
        if before is None:
            return
        self._count(user_id, -1)
        self._connection.execute(_UNINDEX, (user_id, before[0]))
        self._connection.execute("DELETE FROM listing WHERE id = ?", (user_id,))
        self._connection.execute("DELETE FROM users WHERE id = ?", (user_id,))

    def _count(self, user_id: int, step: int) -> None:
        """Adds the user, as stored, to the counts, or takes it off."""
        found = self._connection.execute(
            "SELECT is_active, deleted_at IS NOT NULL, user_type IS 'Guest'"
            " FROM listing JOIN users USING (id) WHERE id = ?",
            (user_id,),
        ).fetchone()
        if found:
            for name, value in zip(("active", "deleted", "guests"), found, strict=True):
                self._counts[name] += step * value
            self._counts["total"] += step

    def _put_certificate(self, row: Row) -> None:
        self._connection.execute(_CERTIFICATE, self._certificate_row(row))

    def _certificate_row(self, row: Row) -> tuple[Any, ...]:
        time = pack_text_time
        return (
            row["id"],
            row["kind"],
            row.get("user_id"),
            row.get("certificate_type"),
            row["status"],
            self._issuer_number(str(row["issuer_id"]), str(row["issuer"])),
            pack_hex(row["serial_number"]),
            row["subject"],
            time(row["not_before"]),
            time(row["not_after"]),
            row["key_type"],
            row["key_size"],
            row["key_origin"],
            row.get("user_principal_name"),
            row.get("email"),
            pack_hex(row.get("fingerprint")),
            time(row.get("issued_at")),
            time(row.get("revoked_at")),
            row.get("revocation_reason"),
            row.get("revocation_source"),
            time(row["created_at"]),
            time(row["updated_at"]),
        )

    def _issuer_number(self, issuer_id: str, issuer: str) -> int:
        number = self._issuers.get((issuer_id, issuer))
        if number is None:
            number = len(self._issuers) + 1
            self._connection.execute("INSERT INTO issuers VALUES (?, ?, ?)", (number, issuer_id, issuer))
            self._issuers[issuer_id, issuer] = number
        return number


def user_row(row: Row) -> tuple[Any, ...]:
    """The columns of table `users`, of a user with an object id."""
    upn, email = row.get("user_principal_name"), row.get("email")
    return (
        row["id"],
        pack_guid(str(row["object_id"])),
        upn,
        row["name"],
        SAME_AS_UPN if email is not None and email == upn else email,
        row.get("user_type"),
        pack_text_time(row.get("deleted_at")),
        pack_text_time(row["created_at"]),
        pack_text_time(row["updated_at"]),
    )


def listing_row(row: Row) -> tuple[int, bool, int, str]:
    """The columns of table `listing`; a user never synced is as one synced in 1970."""
    upn, email = row.get("user_principal_name"), row.get("email")
    folded = searchable_text(str(row["name"]), None if upn is None else str(upn), None if email is None else str(email))
    return int(row["id"]), bool(row["is_active"]), pack_text_time(row.get("synced_at")) or 0, folded
