"""What the timer finds out about CRLs and the CA certificate: fields for its log line, and gauges."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from shared.telemetry import names
from shared.telemetry.lines import Value
from shared.telemetry.recorder import recorder

if TYPE_CHECKING:
    from shared.pki.authority.issuer_material import IssuerMaterial
    from shared.pki.crl.publisher import CrlPublication


def crl_facts(
    publications: "Sequence[CrlPublication]", issuers: "Sequence[IssuerMaterial]", now: datetime
) -> dict[str, Value]:
    """The CRL that ends first, the oldest one, and the newest issuer's certificate: the one that issues."""
    pointers = [each.pointer for each in publications if each.pointer is not None]
    ends = {each.issuer_id: each.next_update for each in pointers if each.next_update is not None}
    made = {each.issuer_id: each.built_at for each in pointers if each.built_at is not None}
    lives = {each.id: each.not_after for each in issuers}
    active = recorder()
    active.moments(names.CRL_REMAINING, ends)
    active.moments(names.CRL_AGE, made)
    active.moments(names.ISSUER_REMAINING, lives)
    return {
        "crls_published": sum(each.published for each in publications),
        "crls_failed": sum(each.error is not None for each in publications),
        "crl_remaining_s": min((_seconds(end, now) for end in ends.values()), default=None),
        "crl_age_s": max((_seconds(now, start) for start in made.values()), default=None),
        "issuer_remaining_s": max((_seconds(end, now) for end in lives.values()), default=None),
    }


def _seconds(later: datetime, earlier: datetime) -> int:
    return round((later - earlier).total_seconds())
