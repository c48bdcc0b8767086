"""What a replicated row of the directory becomes in the tables of a replica: the columns in their order."""

import sqlite3
from typing import Any

from shared.directory.records.base import Row
from shared.directory.replica.domains import Domains
from shared.directory.replica.schema import AS_FOLDED, SAME_AS_UPN
from shared.directory.replica.text_folding import FIELD_END, searchable_text
from shared.directory.replica.values import pack_guid, pack_hex, pack_text_time

INSERT_USER = f"INSERT OR REPLACE INTO users VALUES ({', '.join('?' * 9)})"  # noqa: S608  (a constant)
INSERT_LISTING = "INSERT INTO listing VALUES (?1, ?2, ?3, ?4, ?5)"
UPDATE_LISTING = "UPDATE listing SET is_active = ?2, synced_at = ?3, markers = ?4, folded = ?5 WHERE id = ?1"
UPDATE_LISTING_BUT_TEXT = "UPDATE listing SET is_active = ?2, synced_at = ?3 WHERE id = ?1"
"""Leaves the index by name alone."""
INSERT_CERTIFICATE = f"INSERT OR REPLACE INTO certificates VALUES ({', '.join('?' * 26)})"  # noqa: S608
INSERT_GROUP = "INSERT OR REPLACE INTO groups VALUES (?, ?)"


def is_listed(row: Row) -> bool:
    """Whether the user is synchronized with Entra; local users are not in the replica."""
    return "object_id" in row


def listing_columns(row: Row, domains: Domains) -> tuple[int, bool, int, int, str]:
    """A user never synced is as one synced in 1970."""
    folded = searchable_text(str(row["name"]), addresses(row), domains.shorten)
    synced_at = pack_text_time(row.get("synced_at")) or 0
    return int(row["id"]), bool(row["is_active"]), synced_at, domains.markers_in(folded), folded


def addresses(row: Row) -> list[str]:
    """The user's UPN and email, as far as there are any."""
    return [str(row[name]) for name in ("user_principal_name", "email") if name in row]


def user_columns(row: Row, folded: str, domains: Domains) -> tuple[Any, ...]:
    """`folded`: the user's searchable text."""
    upn, email = row.get("user_principal_name"), row.get("email")
    return (
        row["id"],
        pack_guid(str(row["object_id"])),
        AS_FOLDED if upn and domains.expand(folded.split(FIELD_END, 2)[1]) == upn else upn,
        row["name"],
        SAME_AS_UPN if email is not None and email == upn else email,
        row.get("user_type"),
        pack_text_time(row.get("deleted_at")),
        pack_text_time(row["created_at"]),
        pack_text_time(row["updated_at"]),
    )


def group_columns(row: Row) -> tuple[bytes, Any]:
    return pack_guid(str(row["object_id"])), row["display_name"]


def certificate_columns(row: Row, issuer_number: int) -> tuple[Any, ...]:
    time = pack_text_time
    return (
        row["id"],
        row["kind"],
        row.get("user_id"),
        row.get("certificate_type"),
        row["status"],
        issuer_number,
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
        row.get("renews"),
        row.get("renewed_by"),
        row.get("notice_days"),
        time(row.get("noticed_at")),
    )


class Issuers:
    """Numbers for issuers and their names, so that no certificate repeats them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[tuple[str, str], int] = {
            (issuer_id, issuer): number
            for number, issuer_id, issuer in connection.execute("SELECT number, issuer_id, issuer FROM issuers")
        }

    def number(self, row: Row) -> int:
        """Of the issuer of a certificate's row."""
        issuer = str(row["issuer_id"]), str(row["issuer"])
        if issuer not in self._numbers:
            number = len(self._numbers) + 1
            self._connection.execute("INSERT INTO issuers VALUES (?, ?, ?)", (number, *issuer))
            self._numbers[issuer] = number
        return self._numbers[issuer]
