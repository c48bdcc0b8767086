"""One runner at a time: a lease with a number that grows, and a fence that keeps earlier numbers from writing.

A lease alone cannot do it: a runner may be stopped for a minute between looking at its lease and writing.
"""

import contextlib
import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.context import Clock, system_clock
from shared.directory.errors import MalformedRow, StateChanged
from shared.directory.records.base import format_time, parse_time
from shared.directory.records.fence import Fence, fence_key
from shared.directory.state import State, StateStore
from shared.directory.transaction import Transaction
from shared.errors import AppError

LEASE_TIME = timedelta(minutes=3)
"""Longer than any one step of a run; shorter than the timer's period, so that the next tick takes over from a runner
that died."""


class LeaseTaken(AppError):
    """Somebody else is at work."""

    status, code = 409, "sync_in_progress"

    def __init__(self, holder: "Lease", retry_after: timedelta) -> None:
        super().__init__(
            f"Another runner ({holder.owner}) has been synchronizing since {format_time(holder.since)}.",
            retry_after=retry_after,
        )


class LeaseLost(AppError):
    """Another runner has taken over; this one must not write any more."""

    status, code = 409, "sync_lease_lost"

    def __init__(self) -> None:
        super().__init__("Another runner has taken over the tenant sync.")


@dataclass(frozen=True)
class Lease:
    """Who works, under which number, since when, and until when at most."""

    number: int
    owner: str
    nonce: str
    since: datetime
    expires_at: datetime

    def encode(self) -> bytes:
        fields = {"number": self.number, "owner": self.owner, "nonce": self.nonce}
        times = {"since": format_time(self.since), "expires_at": format_time(self.expires_at)}
        return json.dumps(fields | times).encode()

    @classmethod
    def decode(cls, state: State) -> "Lease":
        """Raises MalformedRow."""
        try:
            fields = json.loads(state.data)
            times = {name: parse_time(fields[name]) for name in ("since", "expires_at")}
            return cls(fields["number"], fields["owner"], fields["nonce"], **times)
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedRow(state.name, "it is not a lease") from error


class LeaseKeeper:
    """Takes, renews and gives back the lease `name`, for one runner."""

    def __init__(
        self, state: StateStore, name: str, *, clock: Clock = system_clock, lease_time: timedelta = LEASE_TIME
    ) -> None:
        self._state = state
        self._name = name
        self._clock = clock
        self._lease_time = lease_time
        self._held: Lease | None = None
        self._etag = ""

    def current(self) -> Lease | None:
        """Whoever holds the lease now, if anybody does."""
        state = self._state.get(self._name)
        lease = Lease.decode(state) if state else None
        return lease if lease and self._is_in_force(lease) else None

    def take(self, owner: str) -> "Fencing":
        """Raises LeaseTaken."""
        state = self._state.get(self._name)
        former = Lease.decode(state) if state else None
        now = self._clock()
        if former and self._is_in_force(former):
            raise LeaseTaken(former, max(former.expires_at - now, timedelta(seconds=1)))
        number = former.number + 1 if former else 1
        lease = Lease(number, owner, uuid.uuid4().hex, now, now + self._lease_time)
        try:
            self._write(lease, state.etag if state else "")
        except LeaseLost:
            winner = self.current()
            raise LeaseTaken(winner or lease, timedelta(seconds=1)) from None
        return Fencing(self._name, number)

    def renew(self) -> None:
        """Prolongs the lease once a third of it is over. Raises LeaseLost."""
        lease, now = self._held, self._clock()
        if lease is None:
            raise LeaseLost
        if abs(lease.expires_at - now - self._lease_time) > self._lease_time / 3:
            self._write(Lease(lease.number, lease.owner, lease.nonce, lease.since, now + self._lease_time), self._etag)

    def give_back(self) -> None:
        """Lets the next runner in at once; does nothing if the lease is lost already."""
        lease = self._held
        if lease is not None:
            with contextlib.suppress(LeaseLost):
                self._write(Lease(lease.number, lease.owner, lease.nonce, lease.since, lease.since), self._etag)
            self._held = None

    def _is_in_force(self, lease: Lease) -> bool:
        """A lease that ends later than any could is one from before a clock was set back: it is void."""
        return timedelta(0) < lease.expires_at - self._clock() <= 2 * self._lease_time

    def _write(self, lease: Lease, etag: str) -> None:
        data = lease.encode()
        try:
            self._etag = self._state.put(self._name, data, etag=etag).etag
        except StateChanged:
            stored = self._state.get(self._name)  # our own write may have been answered by an error and repeated
            if stored is None or stored.data != data:
                self._held = None
                raise LeaseLost from None
            self._etag = stored.etag
        self._held = lease


@dataclass(frozen=True)
class Fencing:
    """A runner's number, to be checked inside every transaction it commits."""

    name: str
    number: int

    @property
    def read(self) -> tuple[type[Fence], str]:
        return Fence, fence_key(self.name)

    def check(self, tx: Transaction) -> None:
        """Raises LeaseLost if a later runner has written."""
        fence = tx.get(Fence, fence_key(self.name))
        if fence is not None and fence.number > self.number:
            raise LeaseLost

    def mark(self, tx: Transaction) -> None:
        """To be called by a decision that changes something: from here on no earlier runner can write."""
        tx.put(Fence(name=self.name, number=self.number))
