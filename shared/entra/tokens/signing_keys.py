"""Which keys an issuer signs with: held in memory, refreshed in the background, persisted, and served through outages.

A key that is held never waits for the network. A kid that is not held may cause a refresh, one at a time and at most
one a minute, however many such kids come: they are the cheapest thing for an attacker to make up.
"""

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.context import Clock, system_clock
from shared.entra.tokens import held_keys
from shared.entra.tokens.errors import KeysUnavailable, TokenError, TokenRejected
from shared.entra.tokens.held_keys import HeldKeys
from shared.entra.tokens.issuers import IssuerSource
from shared.entra.tokens.jwk_policy import SigningKey
from shared.entra.tokens.key_discovery import DiscoveryFailed, KeyDiscovery, PublishedKeys

if TYPE_CHECKING:
    import requests

    from shared.directory.state import StateStore

log = logging.getLogger("entra_pki.entra.keys")

REFRESH_INTERVAL = timedelta(minutes=1)
FIRST_RETRY = timedelta(seconds=5)
"""While no key at all is held every token is refused, so the next attempt comes sooner, with doubling pauses."""
PATIENCE = timedelta(seconds=5)
"""How long one request waits for a refresh under way: two replies of three seconds are rarely both slow."""
ABSENT_FOR = timedelta(minutes=5)
"""How long a kid that a refresh did not bring is taken as unknown without asking again."""
MAX_ABSENT_KIDS = 1024

InBackground = Callable[[Callable[[], None]], None]


class KeyStatus(StrEnum):
    FRESH = "fresh"
    STALE = "stale"
    """The last refresh failed; the keys of an earlier one are still served."""
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class KeyHealth:
    """How one issuer's keys stand, for the health report."""

    metadata_url: str
    status: KeyStatus
    keys: int
    refreshed_at: datetime | None
    failure: str | None


@dataclass(slots=True)
class _Refresh:
    started_at: datetime
    done: threading.Event = field(default_factory=threading.Event)


def start_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="signing-keys", daemon=True).start()


class SigningKeyStore:
    """The keys of one issuer. Shared by threads.

    Args:
        source: the issuer's discovery document.
        fetch: one refresh over the network; raises DiscoveryFailed.
        state: where the last good set survives a restart; None keeps it in memory only.
        in_background: runs a refresh without making the caller wait.
    """

    def __init__(
        self,
        source: IssuerSource,
        fetch: Callable[[], PublishedKeys],
        *,
        state: "StateStore | None" = None,
        clock: Clock = system_clock,
        in_background: InBackground = start_thread,
    ) -> None:
        self.source = source
        self._fetch = fetch
        self._state = state
        self._state_name = f"signing-keys-{hashlib.sha256(source.metadata_url.encode()).hexdigest()[:16]}"
        self._clock = clock
        self._in_background = in_background
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._loaded = state is None
        self._held: HeldKeys | None = None
        self._refresh: _Refresh | None = None
        self._attempted_at: datetime | None = None
        self._failures = 0
        self._failure: str | None = None
        self._refused: tuple[str, ...] = ()
        self._absent: dict[str, datetime] = {}

    def find(self, kid: str, now: datetime) -> SigningKey:
        """The key that the issuer publishes under this kid; `now` is the clock's time.

        Raises:
            TokenRejected: `unknown_signing_key`, the issuer publishes none.
            KeysUnavailable: it cannot be told, because the issuer's keys cannot be fetched.
        """
        key = self._known(kid, now)
        if key is not None:
            return key
        refresh = self._refresh_for(kid, now)
        refreshed = self._wait_for(refresh)
        key = self._known(kid, now)
        if key is not None:
            return key
        if not refreshed or self._failure is not None or self._held is None or self._held.is_useless(now):
            raise KeysUnavailable(self._interval(now))
        if refresh is not None:
            self._remember_absent(kid, now)
        raise TokenRejected(TokenError.UNKNOWN_SIGNING_KEY)

    def holds(self, key: SigningKey, now: datetime) -> bool:
        """Whether this very key still verifies."""
        held = self._held
        return held is not None and held.key(key.kid, now) is key

    def issuer(self) -> tuple[str, str]:
        """The `iss` and `tid` of this source's tokens, discovered if they were not configured.

        Raises:
            KeysUnavailable: the discovery document was never read.
        """
        if self._load() is None:
            self._wait_for(self._start_refresh(self._clock()))
        if self._held is None:
            raise KeysUnavailable(self._interval(self._clock()))
        return self._held.issuer, self._held.tenant_id

    def health(self) -> KeyHealth:
        """How the keys stand; fetches them where none are held yet."""
        now = self._clock()
        self._load()
        if self._held is None or self._held.is_useless(now):
            self._wait_for(self._start_refresh(now))
        elif self._held.is_old(now):
            self._start_refresh(now)
        held = self._held
        if held is None or held.is_useless(now):
            status = KeyStatus.UNAVAILABLE
        else:
            status = KeyStatus.FRESH if self._failure is None else KeyStatus.STALE
        count = len(held.held) if held else 0
        return KeyHealth(self.source.metadata_url, status, count, held.refreshed_at if held else None, self._failure)

    def _known(self, kid: str, now: datetime) -> SigningKey | None:
        held = self._held
        if held is None:
            held = self._load()
            if held is None:
                return None
        key = held.key(kid, now)
        if key is not None and held.is_old(now):
            self._start_refresh(now)
        return key

    def _refresh_for(self, kid: str, now: datetime) -> _Refresh | None:
        """The refresh that may bring an unknown kid: the one under way, or a new one if it is due."""
        absent_until = self._absent.get(kid)
        if absent_until is not None and now < absent_until:
            return None
        return self._start_refresh(now)

    def _start_refresh(self, now: datetime) -> _Refresh | None:
        """The refresh under way, or a new one; None where the last one was too short a time ago."""
        with self._lock:
            under_way = self._refresh
            if under_way is not None and now - under_way.started_at < REFRESH_INTERVAL:
                return under_way
            if self._attempted_at is not None and timedelta() <= now - self._attempted_at < self._interval(now):
                return None
            refresh = self._refresh = _Refresh(now)
            self._attempted_at = now
        self._in_background(lambda: self._run(refresh))
        return refresh

    def _wait_for(self, refresh: _Refresh | None) -> bool:
        return refresh is None or refresh.done.wait(PATIENCE.total_seconds())

    def _interval(self, now: datetime) -> timedelta:
        """The shortest time between two refreshes."""
        if self._held is not None and not self._held.is_useless(now):
            return REFRESH_INTERVAL
        doublings = min(max(self._failures - 1, 0), 10)
        return min(REFRESH_INTERVAL, FIRST_RETRY * (1 << doublings))

    def _run(self, refresh: _Refresh) -> None:
        brought: HeldKeys | None = None
        try:
            brought = self._merge(self._fetch())
        except DiscoveryFailed as error:
            self._fail(str(error))
        except Exception as error:  # the thread's last line of defence: waiting requests must hear of it
            log.exception("refreshing the keys of %s broke", self.source.metadata_url)
            self._fail(type(error).__name__)
        finally:
            with self._lock:
                if self._refresh is refresh:
                    self._refresh = None
            refresh.done.set()
        if brought is not None:
            self._persist(brought)

    def _merge(self, published: PublishedKeys) -> HeldKeys:
        with self._lock:
            if self._held is not None and published.issuer != self._held.issuer:
                raise DiscoveryFailed(f"{self.source.metadata_url} has changed its issuer to {published.issuer!r}")
            self._held = held_keys.merged(self._held, published, self._clock())
            self._failure, self._failures = None, 0
            held = self._held
            news = published.refused != self._refused
            self._refused = published.refused
        if news:
            log.warning("keys of %s are left out: %s", self.source.metadata_url, "; ".join(published.refused) or "none")
        return held

    def _fail(self, reason: str) -> None:
        with self._lock:
            self._failure, self._failures = reason, self._failures + 1
        log.warning("the keys of %s could not be refreshed: %s", self.source.metadata_url, reason)

    def _remember_absent(self, kid: str, now: datetime) -> None:
        with self._lock:
            self._absent.pop(kid, None)
            while len(self._absent) >= MAX_ABSENT_KIDS:
                del self._absent[next(iter(self._absent))]
            self._absent[kid] = now + ABSENT_FOR

    def _load(self) -> HeldKeys | None:
        """What is held; the first call takes the persisted set. A store that cannot be read counts as empty."""
        with self._loading:
            if self._loaded or self._state is None:
                return self._held
            try:
                state = self._state.get(self._state_name)
                if state is not None and self._held is None:
                    self._held = held_keys.from_bytes(state.data, self.source)
            except Exception as error:  # noqa: BLE001  (whatever is wrong with the copy, the original can be fetched)
                log.warning("the persisted keys of %s cannot be used: %s", self.source.metadata_url, error)
            self._loaded = True
            return self._held

    def _persist(self, held: HeldKeys) -> None:
        if self._state is None:
            return
        try:
            self._state.put(self._state_name, held_keys.to_bytes(held))
        except Exception as error:  # noqa: BLE001  (the keys are in memory; the copy can be written next time)
            log.warning("the keys of %s could not be persisted: %s", self.source.metadata_url, error)


class SigningKeyStores:
    """One store for each discovery document, shared by all validators of the process."""

    def __init__(
        self,
        session: "requests.Session",
        *,
        state: "StateStore | None" = None,
        clock: Clock = system_clock,
    ) -> None:
        self._session = session
        self._state = state
        self._clock = clock
        self._stores: dict[IssuerSource, SigningKeyStore] = {}
        self._lock = threading.Lock()

    def of(self, source: IssuerSource) -> SigningKeyStore:
        with self._lock:
            store = self._stores.get(source)
            if store is None:
                fetch = KeyDiscovery(source, self._session).fetch
                store = SigningKeyStore(source, fetch, state=self._state, clock=self._clock)
                self._stores[source] = store
            return store

    def health(self) -> list[KeyHealth]:
        """How each issuer's keys stand; may wait for the network, at most once a minute for each."""
        return [store.health() for store in list(self._stores.values())]
