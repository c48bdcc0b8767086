"""Keeps the account of records: what the log says of each, and what was found."""

from collections.abc import Iterable

from shared.directory.audit_chain import Mention, Mentions

_DIFFERING = """
    SELECT key FROM mention LEFT JOIN found USING (key) WHERE mention.sha256 IS NOT found.found
    UNION ALL
    SELECT key FROM found LEFT JOIN mention USING (key) WHERE mention.key IS NULL AND found.found IS NOT NULL
"""


class Tally(Mentions):
    """Compares records with the last mention of each. Millions of them: on disk, like its base."""

    def __init__(self) -> None:
        super().__init__()
        self._database.execute("CREATE TABLE found (key TEXT PRIMARY KEY, found TEXT, used INTEGER) WITHOUT ROWID")

    def found(self, key: str, sha256: str | None) -> None:
        """The record as it was last seen; None: it is not there any more."""
        self._database.execute(
            "INSERT INTO found VALUES (?, ?, 0) ON CONFLICT (key) DO UPDATE SET found = excluded.found", (key, sha256)
        )

    def differing(self) -> list[str]:
        """The keys of all records that were not found as the log last mentions them."""
        return [key for (key,) in self._database.execute(_DIFFERING)]

    def still_differing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys whose records were not found as the log last mentions them."""
        return [key for key in keys if self._found_of(key) != self._said_of(self.of(key))]

    def difference(self, key: str) -> str:
        """What is wrong with the record of a key out of `differing`."""
        mention, found = self.of(key), self._found_of(key)
        if mention is None:
            return "added: no log row names it"
        if mention.sha256 is None:
            return f"added: log row {mention.seq} deleted it"
        if found is None:
            return f"missing: log row {mention.seq} has it"
        return f"altered: it is not what log row {mention.seq} says"

    def records(self) -> int:
        """How many there are."""
        (count,) = self._database.execute("SELECT count(*) FROM found WHERE found IS NOT NULL").fetchone()
        return int(count)

    def use(self, key: str, sha256: str) -> bool:
        """Whether this is the state of the record that counts, for the first time it is asked about."""
        mention = self.of(key)
        if mention is None or mention.sha256 != sha256:
            return False
        changed = self._database.execute("UPDATE found SET used = 1 WHERE key = ? AND NOT used", (key,))
        return changed.rowcount == 1

    def _found_of(self, key: str) -> str | None:
        row = self._database.execute("SELECT found FROM found WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    @staticmethod
    def _said_of(mention: Mention | None) -> str | None:
        return mention.sha256 if mention else None
