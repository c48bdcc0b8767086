"""The names of groups, of which a user may have thousands."""

# ruff: noqa: S608  (SQL is put together from texts of this package only; values are bound)

import itertools
import sqlite3
from collections.abc import Sequence

from shared.directory.records.user import Group
from shared.directory.replica.values import pack_guid, unpack_guid

AT_ONCE = 500


def groups(connection: sqlite3.Connection, object_ids: Sequence[str]) -> tuple[Group, ...]:
    """Those of the groups that are known."""
    packed, found = iter([pack_guid(object_id) for object_id in object_ids]), list[Group]()
    while some := list(itertools.islice(packed, AT_ONCE)):
        rows = connection.execute(
            f"SELECT object_id, display_name FROM groups WHERE object_id IN ({', '.join('?' * len(some))})", some
        )
        found += [Group(object_id=unpack_guid(object_id), display_name=name) for object_id, name in rows]
    return tuple(found)
