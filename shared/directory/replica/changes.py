"""Writes changed records into a replica in use, index by index."""

import sqlite3
from collections import Counter
from dataclasses import dataclass

from shared.directory.records.base import Record, Row
from shared.directory.records.certificate import Certificate
from shared.directory.records.user import Group, User
from shared.directory.replica.certificate_counts import CertificateCounter
from shared.directory.replica.columns import (
    INSERT_CERTIFICATE,
    INSERT_GROUP,
    INSERT_LISTING,
    INSERT_USER,
    UPDATE_LISTING,
    UPDATE_LISTING_BUT_TEXT,
    Issuers,
    certificate_columns,
    group_columns,
    is_listed,
    listing_columns,
    user_columns,
)
from shared.directory.replica.domains import Domains
from shared.directory.replica.ranks import BY_ID, BY_NAME, BY_SYNC, Order, Place, RankWriter
from shared.directory.replica.text_folding import FIELD_END
from shared.directory.replica.values import pack_guid

REPLICATED_KINDS: dict[str, type[Record]] = {kind.KIND: kind for kind in (User, Group, Certificate)}


@dataclass(frozen=True, slots=True)
class _Listed:
    """What the lists and counts know of a user."""

    id: int
    active: bool
    synced_at: int
    folded: str
    deleted: bool
    guest: bool

    def places(self) -> tuple[tuple[Order, Place], ...]:
        name = self.folded.partition(FIELD_END)[0]
        return (BY_ID, (self.id, self.id)), (BY_NAME, (name, self.id)), (BY_SYNC, (self.synced_at, self.id))


class ChangeWriter:
    """Applies rows inside a transaction that the caller begins and ends; `flush` before it ends."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._issuers = Issuers(connection)
        self._domains = Domains.of(connection)
        self._ranks = RankWriter(connection)
        self._certificates = CertificateCounter(connection)
        self._counts: Counter[str] = Counter()
        self._texts: dict[int, tuple[str | None, str | None]] = {}
        self._users_changed = False

    def put(self, key: str, row: Row) -> None:
        """The record's replicated row, as of now. Kinds that are not replicated are left out."""
        kind = key.partition("|")[0]
        if kind == User.KIND:
            self._put_user(row)
        elif kind == Certificate.KIND:
            self._put_certificate(row)
        elif kind == Group.KIND:
            self._connection.execute(INSERT_GROUP, group_columns(row))

    def delete(self, key: str) -> None:
        """The record is gone."""
        kind, _, rest = key.partition("|")
        if kind == User.KIND:
            self._remove_user(int(rest))
        elif kind == Certificate.KIND:
            self._certificates.note(int(rest), -1)
            self._connection.execute("DELETE FROM certificates WHERE id = ?", (int(rest),))
        elif kind == Group.KIND:
            self._connection.execute("DELETE FROM groups WHERE object_id = ?", (pack_guid(rest),))

    def flush(self, seq: int, chain_hash: str) -> None:
        """Writes the position of the last log row that is applied, and what was only counted so far."""
        self._index_texts()
        self._ranks.flush()
        self._certificates.flush()
        self._connection.executemany(
            "UPDATE user_counts SET value = value + ? WHERE name = ?",
            ((step, name) for name, step in self._counts.items()),
        )
        self._connection.execute("UPDATE position SET seq = ?, hash = ?", (seq, chain_hash))
        if self._users_changed:
            self._connection.execute("UPDATE position SET users_hash = hash")

    def _put_certificate(self, row: Row) -> None:
        self._certificates.note(int(row["id"]), -1)
        self._connection.execute(INSERT_CERTIFICATE, certificate_columns(row, self._issuers.number(row)))
        self._certificates.note(int(row["id"]), 1)

    def _put_user(self, row: Row) -> None:
        listing = listing_columns(row, self._domains)
        user_id, folded = listing[0], listing[-1]
        if not is_listed(row):
            self._remove_user(user_id)
            return
        before = self._listed(user_id)
        self._connection.execute(INSERT_USER, user_columns(row, folded, self._domains))
        if before is None:
            self._connection.execute(INSERT_LISTING, listing)
        elif before.folded != folded:
            self._connection.execute(UPDATE_LISTING, listing)
        else:
            self._connection.execute(UPDATE_LISTING_BUT_TEXT, listing[:3])
        self._index(user_id, before, self._listed(user_id))

    def _remove_user(self, user_id: int) -> None:
        before = self._listed(user_id)
        self._connection.execute("DELETE FROM listing WHERE id = ?", (user_id,))
        self._connection.execute("DELETE FROM users WHERE id = ?", (user_id,))
        self._index(user_id, before, None)

    def _listed(self, user_id: int) -> _Listed | None:
        found = self._connection.execute(
            "SELECT id, is_active, synced_at, folded, deleted_at IS NOT NULL, user_type IS 'Guest'"
            " FROM listing JOIN users USING (id) WHERE id = ?",
            (user_id,),
        ).fetchone()
        return found and _Listed(*found)

    def _index(self, user_id: int, before: _Listed | None, after: _Listed | None) -> None:
        """Brings trigrams, ranks and counts from one state of a user to another; None: not listed."""
        if before == after:
            return
        self._users_changed = True
        left = {(*place, before.active) for place in before.places()} if before else set()
        entered = {(*place, after.active) for place in after.places()} if after else set()
        for change in left - entered:
            self._ranks.leave(*change)
        for change in entered - left:
            self._ranks.enter(*change)
        for user, step in ((before, -1), (after, 1)):
            if user:
                self._counts["total"] += step
                self._counts["active"] += step * user.active
                self._counts["deleted"] += step * user.deleted
                self._counts["guests"] += step * user.guest
        first = self._texts[user_id][0] if user_id in self._texts else before.folded if before else None
        self._texts[user_id] = first, after.folded if after else None

    def _index_texts(self) -> None:
        """In ascending order, since FTS5 writes out what it has gathered whenever a rowid is lower than the last."""
        for user_id, (before, after) in sorted(self._texts.items()):
            if before == after:
                continue
            if before is not None:
                self._connection.execute(
                    "INSERT INTO trigrams (trigrams, rowid, folded) VALUES ('delete', ?, ?)", (user_id, before)
                )
            if after is not None:
                self._connection.execute("INSERT INTO trigrams (rowid, folded) VALUES (?, ?)", (user_id, after))
