"""The keys held of one issuer over time: how published sets are merged, how long a key is kept, how a set is persisted.

Microsoft's front ends differ for hours around a rollover, so a key that is missing from one reply is kept for a while.
Pure values: the network and the clock are in `signing_keys`.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from shared.directory.records.base import format_time, parse_time
from shared.entra.tokens.issuers import IssuerSource
from shared.entra.tokens.jwk_policy import PUBLIC_EXPONENT, KeyRefused, SigningKey, accept_key
from shared.entra.tokens.key_discovery import DiscoveryFailed, PublishedKeys, checked_issuer
from shared.entra.tokens.strict_json import NotStrictJson, parse_object

OLD_AFTER = timedelta(hours=1)
"""A set this old is refreshed, in the background. Microsoft asks for a check at least daily
(https://learn.microsoft.com/entra/identity-platform/signing-key-rollover)."""
USELESS_AFTER = timedelta(hours=24)
"""Without any success for this long, a key that Entra withdrew in an emergency could still be trusted: none is."""
KEPT_WHEN_ABSENT = timedelta(hours=2)
ABSENCES_BEFORE_DROP = 2


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key with its history.

    Attributes:
        first_seen, last_seen: the refreshes that first and last brought it.
        absent_since: the first refresh in a row that did not bring it.
        absences: how many of them there were.
    """

    key: SigningKey
    first_seen: datetime
    last_seen: datetime
    absent_since: datetime | None = None
    absences: int = 0

    def missed(self, now: datetime) -> "HeldKey":
        return replace(self, absent_since=self.absent_since or now, absences=self.absences + 1)

    def is_gone(self, now: datetime) -> bool:
        return (
            self.absent_since is not None
            and now - self.absent_since >= KEPT_WHEN_ABSENT
            and self.absences >= ABSENCES_BEFORE_DROP
        )


@dataclass(frozen=True)
class HeldKeys:
    """All keys held of an issuer, as of its last successful refresh."""

    issuer: str
    tenant_id: str
    refreshed_at: datetime
    held: Mapping[str, HeldKey]
    old_at: datetime = field(init=False)
    useless_at: datetime = field(init=False)
    _by_kid: Mapping[str, SigningKey] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "old_at", self.refreshed_at + OLD_AFTER)
        object.__setattr__(self, "useless_at", self.refreshed_at + USELESS_AFTER)
        object.__setattr__(self, "_by_kid", {kid: held.key for kid, held in self.held.items()})

    def key(self, kid: str, now: datetime) -> SigningKey | None:
        return self._by_kid.get(kid) if now < self.useless_at else None

    def is_old(self, now: datetime) -> bool:
        """True also for a set from the future: the instance that persisted it had a wrong clock."""
        return not self.refreshed_at <= now < self.old_at

    def is_useless(self, now: datetime) -> bool:
        return now >= self.useless_at


def merged(before: HeldKeys | None, published: PublishedKeys, now: datetime) -> HeldKeys:
    """What is held after a successful refresh. A kid that now names another key is replaced: the newest set rules.

    Keys that did not change stay the same objects, so that a verdict can tell by identity whether its key still stands.
    """
    old = before.held if before and not before.is_useless(now) else {}
    held = {kid: known.missed(now) for kid, known in old.items()}
    for kid, key in published.keys.items():
        known = old.get(kid)
        if known is not None and known.key == key:
            held[kid] = HeldKey(known.key, known.first_seen, now)
        else:
            held[kid] = HeldKey(key, now, now)
    return HeldKeys(
        published.issuer,
        published.tenant_id,
        now,
        {kid: key for kid, key in held.items() if not key.is_gone(now)},
    )


def to_bytes(keys: HeldKeys) -> bytes:
    """The set as JSON, for another instance that starts while the issuer cannot be reached."""
    document = {
        "issuer": keys.issuer,
        "refreshed_at": format_time(keys.refreshed_at),
        "keys": [_entry(held) for held in keys.held.values()],
    }
    return json.dumps(document).encode()


def from_bytes(data: bytes, source: IssuerSource) -> HeldKeys:
    """The persisted set; each key passes the policy again.

    Raises:
        ValueError: it is not a set of `source`'s issuer.
    """
    try:
        document = parse_object(data)
        issuer, tenant_id = checked_issuer(document, source)
        issuers = source.key_issuers | {issuer}
        held = [_held_key(entry, issuers, tenant_id) for entry in document["keys"]]
        return HeldKeys(issuer, tenant_id, parse_time(document["refreshed_at"]), {key.key.kid: key for key in held})
    except (NotStrictJson, DiscoveryFailed, KeyRefused, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a persisted key set: {error}") from error


def _entry(held: HeldKey) -> dict[str, Any]:
    modulus = held.key.modulus.to_bytes(held.key.signature_length, "big")
    return {
        "kty": "RSA",
        "kid": held.key.kid,
        "n": base64.urlsafe_b64encode(modulus).decode().rstrip("="),
        "e": base64.urlsafe_b64encode(PUBLIC_EXPONENT.to_bytes(3, "big")).decode(),
        **({"issuer": held.key.issuer} if held.key.issuer else {}),
        "first_seen": format_time(held.first_seen),
        "last_seen": format_time(held.last_seen),
        **({"absent_since": format_time(held.absent_since)} if held.absent_since else {}),
        "absences": held.absences,
    }


def _held_key(entry: Mapping[str, Any], issuers: frozenset[str], tenant_id: str) -> HeldKey:
    absent_since = entry.get("absent_since")
    return HeldKey(
        accept_key(entry, issuers, tenant_id),
        parse_time(entry["first_seen"]),
        parse_time(entry["last_seen"]),
        parse_time(absent_since) if absent_since else None,
        int(entry["absences"]),
    )
