"""The signing-key store over days, by an injected clock: rollover, outages, floods, restarts."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from shared.entra.tokens import held_keys
from shared.entra.tokens.errors import KeysUnavailable, TokenError, TokenRejected
from shared.entra.tokens.issuers import IssuerSource, issuers_of_tenant
from shared.entra.tokens.jwk_policy import SigningKey
from shared.entra.tokens.key_discovery import DiscoveryFailed, PublishedKeys, published_keys
from shared.entra.tokens.signing_keys import ABSENT_FOR, MAX_ABSENT_KIDS, KeyStatus, SigningKeyStore
from tests.attack.forger import jwk, rsa_key

TENANT = "7e4a0000-0000-4000-8000-00000000000a"
SOURCE = issuers_of_tenant("https://login.microsoftonline.com", TENANT)[0]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass
class Issuer:
    """An issuer that publishes keys of these names, counts who asks, and may be down. Time is moved by hand."""

    published: list[str] = field(default_factory=lambda: ["monday"])
    now: datetime = datetime(2026, 3, 2, tzinfo=UTC)
    down: bool = False
    fetches: int = 0
    issuer: str = str(SOURCE.issuer)

    def clock(self) -> datetime:
        return self.now

    def fetch(self) -> PublishedKeys:
        self.fetches += 1
        if self.down:
            raise DiscoveryFailed("down")
        return published_keys({"keys": [jwk(kid, rsa_key(kid)) for kid in self.published]}, SOURCE, self.issuer, TENANT)

    def store(self, in_background: Callable[[Callable[[], None]], None] = lambda work: work()) -> SigningKeyStore:
        return SigningKeyStore(SOURCE, self.fetch, clock=self.clock, in_background=in_background)

    def wait(self, duration: timedelta) -> None:
        self.now += duration


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@dataclass
class Asker:
    """Asks a store for keys and says in one word what came of it."""

    issuer: Issuer
    store: SigningKeyStore

    def __call__(self, kid: str) -> str:
        try:
            return "found" if self.store.find(kid, self.issuer.now).kid == kid else "wrong"
        except TokenRejected as rejected:
            assert rejected.error is TokenError.UNKNOWN_SIGNING_KEY
            return "unknown"
        except KeysUnavailable:
            return "unavailable"


@pytest.fixture
def ask(issuer: Issuer) -> Asker:
    return Asker(issuer, issuer.store())


def test_keys_are_fetched_when_the_first_is_asked_for(issuer: Issuer, ask: Asker) -> None:
    assert issuer.fetches == 0
    assert [ask("monday"), ask("monday"), issuer.fetches] == ["found", "found", 1]


def test_keys_are_refreshed_when_an_hour_old(issuer: Issuer, ask: Asker) -> None:
    ask("monday")
    issuer.wait(HOUR - timedelta(seconds=1))
    ask("monday")
    assert issuer.fetches == 1
    issuer.wait(timedelta(seconds=1))
    assert [ask("monday"), issuer.fetches] == ["found", 2]


def test_a_known_key_does_not_wait_for_the_refresh(issuer: Issuer) -> None:
    waiting: list[Callable[[], None]] = []
    ask = Asker(issuer, issuer.store(in_background=lambda work: waiting.append(work) if issuer.fetches else work()))
    ask("monday")
    issuer.wait(2 * HOUR)

    assert ask("monday") == "found"
    assert (issuer.fetches, len(waiting)) == (1, 1)


def test_a_rollover_over_five_days_refuses_nobody_and_forgets_the_old_key(issuer: Issuer, ask: Asker) -> None:
    """Entra publishes the next key long before it signs, and the old one for long after. A token every ten minutes."""
    first_day = issuer.now
    answers = {"monday": set[str](), "friday": set[str]()}
    while (day := issuer.now - first_day) < timedelta(days=5):
        issuer.published = ["monday"] if day < timedelta(days=1) else ["monday", "friday"]
        if day >= timedelta(days=3):
            issuer.published = ["friday"]
        signer = "monday" if day < timedelta(days=2) else "friday"
        answers[signer].add(ask(signer))
        issuer.wait(10 * MINUTE)

    assert answers == {"monday": {"found"}, "friday": {"found"}}
    assert ask("monday") == "unknown"
    assert 5 * 24 <= issuer.fetches <= 5 * 24 + 2


def test_an_emergency_rollover_is_followed_by_one_refresh(issuer: Issuer, ask: Asker) -> None:
    ask("monday")
    issuer.wait(10 * MINUTE)
    issuer.published = ["emergency"]

    assert [ask("emergency"), issuer.fetches] == ["found", 2]


def test_a_key_is_dropped_two_hours_and_two_refreshes_after_it_was_last_published(issuer: Issuer, ask: Asker) -> None:
    issuer.published = ["monday", "friday"]
    ask("monday")
    issuer.published = ["friday"]
    for _ in range(3):
        issuer.wait(HOUR - MINUTE)
        assert ask("monday") == "found"
        issuer.wait(MINUTE)
        ask("friday")
    assert (issuer.fetches, ask("monday")) == (4, "unknown")


def test_many_refreshes_in_a_short_time_drop_no_key(issuer: Issuer, ask: Asker) -> None:
    issuer.published = ["monday", "friday"]
    ask("monday")
    issuer.published = ["friday"]
    for minute in range(110):
        issuer.wait(MINUTE)
        ask(f"made-up-{minute}")
    assert issuer.fetches == 111
    assert ask("monday") == "found"


def test_front_ends_that_disagree_drop_no_key(issuer: Issuer, ask: Asker) -> None:
    for at in range(48):
        issuer.published = ["monday"] if at % 2 else ["monday", "friday"]
        assert {ask("monday"), ask("friday")} == {"found"}
        issuer.wait(HOUR)


def test_ten_thousand_unknown_kids_in_an_hour_cause_one_refresh_a_minute(issuer: Issuer, ask: Asker) -> None:
    ask("monday")
    for at in range(10_000):
        assert ask(f"made-up-{at}") == "unknown"
        if at % 100 == 0:
            assert ask("monday") == "found"
        issuer.wait(HOUR / 10_000)
    assert issuer.fetches <= 1 + 60


def test_an_unknown_kid_is_not_looked_for_again_for_five_minutes(issuer: Issuer, ask: Asker) -> None:
    ask("monday")
    issuer.wait(MINUTE)
    assert [ask("nobody's"), issuer.fetches] == ["unknown", 2]
    issuer.wait(ABSENT_FOR - timedelta(seconds=1))
    assert [ask("nobody's"), issuer.fetches] == ["unknown", 2]
    issuer.wait(timedelta(seconds=1))
    assert [ask("nobody's"), issuer.fetches] == ["unknown", 3]


def test_a_kid_that_was_unknown_is_found_once_another_refresh_brings_it(issuer: Issuer, ask: Asker) -> None:
    ask("monday")
    issuer.wait(MINUTE)
    ask("friday")
    issuer.published = ["monday", "friday"]
    issuer.wait(MINUTE)
    ask("somebody else's")
    assert ask("friday") == "found"


def test_the_memory_of_unknown_kids_is_bounded(issuer: Issuer, ask: Asker) -> None:
    ask("monday")
    for at in range(MAX_ABSENT_KIDS + 50):
        issuer.wait(MINUTE)
        ask(f"made-up-{at}")
    assert len(ask.store._absent) == MAX_ABSENT_KIDS


def test_keys_are_served_through_an_outage_of_a_day_and_no_longer(issuer: Issuer, ask: Asker) -> None:
    ask("monday")
    issuer.down = True
    issuer.wait(24 * HOUR - timedelta(seconds=1))
    assert [ask("monday"), ask("friday")] == ["found", "unavailable"]
    assert ask.store.health().status is KeyStatus.STALE
    issuer.wait(timedelta(seconds=1))
    assert ask("monday") == "unavailable"
    assert ask.store.health().status is KeyStatus.UNAVAILABLE


def test_an_outage_is_asked_about_once_a_minute(issuer: Issuer, ask: Asker) -> None:
    ask("monday")
    issuer.down = True
    issuer.wait(HOUR)
    for _ in range(600):
        assert {ask("monday"), ask("friday")} == {"found", "unavailable"}
        issuer.wait(timedelta(seconds=1))
    assert issuer.fetches <= 1 + 10


def test_an_unknown_kid_is_never_called_invalid_while_the_issuer_is_down(issuer: Issuer, ask: Asker) -> None:
    issuer.down = True
    assert ask("monday") == "unavailable"
    issuer.down = False
    issuer.wait(MINUTE)
    assert ask("monday") == "found"
    issuer.down = True
    issuer.wait(MINUTE)
    assert ask("friday") == "unavailable"


def test_a_store_without_any_key_asks_again_sooner_than_in_a_minute(issuer: Issuer, ask: Asker) -> None:
    issuer.down = True
    fetches = []
    for _ in range(180):
        ask("monday")
        fetches.append(issuer.fetches)
        issuer.wait(timedelta(seconds=1))
    moments = [second for second in range(1, 180) if fetches[second] > fetches[second - 1]]
    assert moments == [5, 15, 35, 75, 135]


def test_the_refusal_says_when_to_come_again(issuer: Issuer, ask: Asker) -> None:
    issuer.down = True
    with pytest.raises(KeysUnavailable) as refused:
        ask.store.find("monday", issuer.now)
    assert refused.value.retry_after == timedelta(seconds=5)


def test_a_clock_set_back_does_not_stop_the_refreshes(issuer: Issuer, ask: Asker) -> None:
    ask("monday")
    issuer.wait(-10 * HOUR)
    ask("monday")
    assert issuer.fetches == 2


def test_the_same_kid_with_another_key_replaces_it(issuer: Issuer) -> None:
    old = published_keys({"keys": [jwk("k", rsa_key("one"))]}, SOURCE, issuer.issuer, TENANT)
    new = published_keys({"keys": [jwk("k", rsa_key("two"))]}, SOURCE, issuer.issuer, TENANT)
    held = held_keys.merged(held_keys.merged(None, old, issuer.now), new, issuer.now)
    assert held.key("k", issuer.now) == new.keys["k"]


def test_an_unchanged_key_stays_the_same_object(issuer: Issuer, ask: Asker) -> None:
    before = ask.store.find("monday", issuer.now)
    issuer.wait(2 * HOUR)
    ask("monday")
    assert issuer.fetches == 2
    assert ask.store.find("monday", issuer.now) is before
    assert ask.store.holds(before, issuer.now)


def test_an_issuer_that_changes_its_name_is_not_believed(issuer: Issuer, ask: Asker) -> None:
    ask("monday")
    issuer.issuer = issuer.issuer.replace("v2.0", "v3.0")
    issuer.published = ["friday"]
    issuer.wait(HOUR)
    assert [ask("friday"), ask("monday")] == ["unavailable", "found"]
    assert "changed its issuer" in str(ask.store.health().failure)


def test_a_bug_in_a_refresh_does_not_leave_callers_waiting(issuer: Issuer) -> None:
    def broken() -> PublishedKeys:
        raise ZeroDivisionError

    store = SigningKeyStore(SOURCE, broken, clock=issuer.clock)
    with pytest.raises(KeysUnavailable):
        store.find("monday", issuer.now)


def test_threads_share_one_refresh(issuer: Issuer) -> None:
    fetching, answer = threading.Event(), threading.Event()

    def slow_fetch() -> PublishedKeys:
        fetching.set()
        assert answer.wait(10)
        return issuer.fetch()

    store = SigningKeyStore(SOURCE, slow_fetch, clock=issuer.clock)
    found: list[SigningKey] = []
    threads = [threading.Thread(target=lambda: found.append(store.find("monday", issuer.now))) for _ in range(20)]
    for thread in threads:
        thread.start()
    assert fetching.wait(10)
    answer.set()
    for thread in threads:
        thread.join(10)

    assert (len(found), issuer.fetches) == (20, 1)


def test_keys_survive_writing_and_reading_with_their_history(issuer: Issuer, ask: Asker) -> None:
    issuer.published = ["monday", "friday"]
    ask("monday")
    issuer.published = ["friday"]
    issuer.wait(HOUR)
    ask("monday")
    held = ask.store._held
    assert held is not None

    assert held_keys.from_bytes(held_keys.to_bytes(held), SOURCE) == held


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"[]",
        lambda data: data[:-1],
        lambda data: data.replace(TENANT.encode(), b"0b0b0b0b-0000-4000-8000-00000000000b"),
        lambda data: data.replace(b'"AQAB"', b'"Aw"'),
        lambda data: data.replace(b'"kid"', b'"kit"'),
        lambda data: data.replace(b"2026-03", b"March"),
        lambda data: data.replace(b'"keys": [', b'"keys": [7, '),
    ],
)
def test_a_spoilt_copy_is_not_used(issuer: Issuer, ask: Asker, spoil: Callable[[bytes], bytes]) -> None:
    ask("monday")
    held = ask.store._held
    assert held is not None

    with pytest.raises(ValueError):
        held_keys.from_bytes(spoil(held_keys.to_bytes(held)), SOURCE)


def test_a_source_must_be_https_and_name_a_tenant() -> None:
    for url in ("http://login.example/x", "https://user@login.example/x", "https://login.example/x#y", "file:///x"):
        with pytest.raises(ValueError, match="https"):
            IssuerSource(url, SOURCE.version, TENANT, None)
    with pytest.raises(ValueError, match="tenant"):
        IssuerSource(SOURCE.metadata_url, SOURCE.version, TENANT.upper(), None)
