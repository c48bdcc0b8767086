"""Where the tenant sync stands, kept between its steps: what a runner that was killed leaves to the next one.

A checkpoint is written after the work that it describes; doing that work again changes nothing.
"""

import logging
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from shared.directory.errors import StateChanged
from shared.directory.state import StateStore
from shared.entra.tenant_sync.id_set import IdSet
from shared.entra.tenant_sync.lease import LeaseLost
from shared.entra.tenant_sync.report import Counts, Held, Mode, Phase, SyncError, SyncReport

if TYPE_CHECKING:
    from pydantic import TypeAdapter

log = logging.getLogger(__name__)

NAME = "tenant-sync"
ERRORS_KEPT = 20
BROKEN_KEPT = 1000
_BYTES_AS_BASE64: dict[str, Any] = {"ser_json_bytes": "base64", "val_json_bytes": "base64"}


@dataclass
class Round:
    """One pass over the directory, in one or many runs.

    Attributes:
        users_link, groups_link: the delta links from which this round follows changes.
        users_next, groups_next: those from which the next round will.
        link: the page to read next in this phase; None is the phase's first.
        collection: which of several collections (the scope's groups) `link` belongs to.
        listing: how many times this phase's listing was begun.
        listed: objects in this listing so far.
        expected: how many users Entra said there are.
        position: the nodes of the group graph below it have been told of their memberships.
        seen: local ids of the users that the listing held.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _BYTES_AS_BASE64

    mode: Mode
    phase: Phase
    started_at: datetime
    users_link: str | None = None
    groups_link: str | None = None
    users_next: str | None = None
    groups_next: str | None = None
    link: str | None = None
    collection: int = 0
    listing: int = 1
    listed: int = 0
    expected: int | None = None
    position: int = 0
    counts: Counts = field(default_factory=Counts)
    seen: bytes = b""

    def enter(self, phase: Phase) -> None:
        """Begins a phase."""
        self.phase = phase
        self.listing = 1
        self.begin_listing()

    def begin_listing(self) -> None:
        """Goes back to the first page of the phase."""
        self.link, self.collection, self.listed, self.position = None, 0, 0, 0


@dataclass
class GraphVersion:
    """Where the group graph is kept.

    Attributes:
        segments: for each segment, the number of the lease under which it was written: no two runners share a name.
        base: how many of the segments were written at once; those after them are changes.
        applied: up to which segment the users' records have been told.
        garbage: names of segments no longer needed.
    """

    generation: int = 0
    segments: list[int] = field(default_factory=list)
    base: int = 0
    applied: int = 0
    garbage: list[str] = field(default_factory=list)


@dataclass
class Checkpoint:
    """All that is kept.

    Attributes:
        lease: the number of the last runner that saved it.
        settings: what the links and the graph depend on; another value makes the next round a full one.
        users_link, groups_link: delta links up to which all is in step; None before the first complete round.
        rechecks: object ids of users to be asked for one by one.
        leaving: local ids of users who seem to have left.
        broken: object ids of users whose description cannot be used, and why.
        population: users of Entra known here and not deleted.
        round_started_at, full_round_at: when the last complete round began, and the last that compared everything.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _BYTES_AS_BASE64

    lease: int = 0
    settings: str = ""
    users_link: str | None = None
    groups_link: str | None = None
    round: Round | None = None
    graph: GraphVersion = field(default_factory=GraphVersion)
    rechecks: list[str] = field(default_factory=list)
    leaving: bytes = b""
    broken: dict[str, str] = field(default_factory=dict)
    population: int = 0
    last_run: SyncReport | None = None
    last_success_at: datetime | None = None
    round_started_at: datetime | None = None
    full_round_at: datetime | None = None
    held: Held | None = None
    errors: list[SyncError] = field(default_factory=list)

    @property
    def leavers(self) -> IdSet:
        return IdSet(self.leaving)

    def note_error(self, error: SyncError) -> None:
        """Newest first; the same error of the same object is kept once."""
        others = [each for each in self.errors if (each.code, each.object_id) != (error.code, error.object_id)]
        self.errors = [error, *others][:ERRORS_KEPT]

    def note_broken(self, object_id: str, reason: str) -> None:
        if object_id in self.broken or len(self.broken) < BROKEN_KEPT:
            self.broken[object_id] = reason


class CheckpointStore:
    """Loads and saves the checkpoint; a runner that was overtaken cannot save."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._etag = ""

    def load(self) -> Checkpoint:
        """One that cannot be read is as good as none: the next round is a full one. Raises StorageUnavailable."""
        state = self._state.get(NAME)
        self._etag = state.etag if state else ""
        if state is None:
            return Checkpoint()
        try:
            return _adapter().validate_json(zlib.decompress(state.data))
        except (ValueError, zlib.error):
            log.warning("tenant_sync: the checkpoint cannot be read; starting anew")
            return Checkpoint()

    def save(self, checkpoint: Checkpoint) -> None:
        """Raises LeaseLost if somebody else saved since."""
        data = zlib.compress(_adapter().dump_json(checkpoint), 1)
        try:
            self._etag = self._state.put(NAME, data, etag=self._etag).etag
        except StateChanged:
            stored = self._state.get(NAME)  # our own write may have been answered by an error and repeated
            if stored is None or stored.data != data:
                raise LeaseLost from None
            self._etag = stored.etag


@cache
def _adapter() -> "TypeAdapter[Checkpoint]":
    from pydantic import TypeAdapter

    return TypeAdapter(Checkpoint)
