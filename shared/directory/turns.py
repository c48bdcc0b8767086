"""Turns: how a writer that keeps losing races asks the other processes to wait for it.

A turn is a note in the head, no lock: whoever ignores it only makes its owner lose once more. It ends with its owner's
commit, or 2 s after it was taken.
"""

import random
import time
import uuid
from datetime import timedelta

from shared.context import Clock, Deadline
from shared.directory.errors import LedgerBusy, StateChanged
from shared.directory.head import StoredHead, Turn, decode_head, empty_head, encode_head, encode_turn
from shared.directory.partition import Partition
from shared.directory.rows import encode_row

TURN = timedelta(seconds=2)
CONTENDED = timedelta(seconds=1)
"""After seeing another's turn a writer lets the others look at the head before it commits again: its cached head would
let it in ahead of all who wait."""
_PAUSE_READS = 16
_PAUSE_LIMITS = (0.02, 0.5)
"""Waiting writers look at the head every so many times as long as a look takes, within these limits in seconds: more
often only keeps a busy service from the one who has the turn."""


class Turns:
    """Reads the head for one writer, respecting and taking turns."""

    def __init__(self, partition: Partition, clock: Clock) -> None:
        self._partition = partition
        self._clock = clock
        self._owner = uuid.uuid4().hex
        self._seen: tuple[Turn, float] | None = None
        """Another's turn, and when we first saw it on our monotonic clock: its owner's clock may be wrong."""
        self._contended_until = 0.0
        self._pause = _PAUSE_LIMITS[0]

    def read(self, deadline: Deadline | None = None) -> StoredHead:
        """The head as it stands. Raises: StorageUnavailable, StorageRefused, MalformedRow."""
        started = time.monotonic()
        entity = self._partition.tables.get(self._partition.name, self._partition.head_key, deadline)
        self._pause = sorted((*_PAUSE_LIMITS, _PAUSE_READS * (time.monotonic() - started)))[1]
        return empty_head(self._partition.name) if entity is None else decode_head(entity)

    def wait_and_read(self, take: bool, deadline: Deadline, known: StoredHead | None) -> StoredHead:
        """The head (`known` or read), once nobody else has the turn; with `take`, after noting our own.

        Raises: LedgerBusy when the deadline passes, StorageUnavailable, StorageRefused, MalformedRow.
        """
        if time.monotonic() < self._contended_until and known is not None:
            known = None
            self._wait(deadline)
        while not deadline.expired:
            stored = known or self.read(deadline)
            known = None
            if self._is_anothers(stored.turn):
                self._contended_until = time.monotonic() + CONTENDED.total_seconds()
                self._wait(deadline)
            elif not take or self.is_ours(stored) or stored.etag is None:
                return stored
            else:
                self._take(deadline)
        raise LedgerBusy

    def is_ours(self, stored: StoredHead) -> bool:
        return stored.turn is not None and stored.turn.owner == self._owner and self._clock() < stored.turn.until

    def release(self, stored: StoredHead) -> StoredHead | None:
        """Ends our turn without a commit. None: the head has changed meanwhile."""
        properties = encode_row(encode_head(stored.head))
        try:
            etag = self._partition.tables.put(self._partition.name, self._partition.head_key, properties, stored.etag)
        except StateChanged:
            return None
        return StoredHead(stored.head, etag)

    def _take(self, deadline: Deadline) -> None:
        """Notes our turn on whatever head there is now: nobody can be too fast for that.

        The head's ETag changes, so whoever is about to commit loses the race, looks, and waits. If two take the turn at
        once, the later note stands, and both see whose it is when they read the head again.
        """
        note = encode_row(encode_turn(Turn(self._owner, self._clock() + TURN)))
        self._partition.tables.merge(self._partition.name, self._partition.head_key, note, deadline)

    def _wait(self, deadline: Deadline) -> None:
        time.sleep(min(self._pause * random.uniform(0.5, 1.5), deadline.remaining))

    def _is_anothers(self, turn: Turn | None) -> bool:
        if turn is None or turn.owner == self._owner or self._clock() >= turn.until:
            return False
        if self._seen is None or self._seen[0] != turn:
            self._seen = (turn, time.monotonic())
        return time.monotonic() - self._seen[1] < TURN.total_seconds()
