"""What health looks at: one probe for each part that the app stands on."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.context import Deadline, system_clock
from shared.health import HEALTHY, PROBE_TIMEOUT, Finding, HealthStatus, Probe

if TYPE_CHECKING:
    from shared.services import Services

MAX_CLOCK_SKEW = timedelta(minutes=5)
SYNC_LATE_AFTER = timedelta(hours=1)


def probes(services: "Services") -> Mapping[str, Probe]:
    return {
        "storage": lambda: storage(services),
        "graph": lambda: graph(services),
        "token_keys": lambda: token_keys(services),
        "signing": lambda: signing(services),
        "sync": lambda: sync(services),
        "crl": crl,
    }


def storage(services: "Services") -> Finding:
    services.ledger.head()
    skew = services.tables.clock_skew()
    if skew is not None and abs(skew) > MAX_CLOCK_SKEW:
        reason = f"This machine's clock is {skew.total_seconds():.0f} s off the storage service's; nothing is signed."
        return Finding(HealthStatus.UNHEALTHY, reason)
    return HEALTHY


def graph(services: "Services") -> Finding:
    """Asks for one user: that needs a token, the network and the permission."""
    url = services.graph.url("/users", {"$select": "id", "$top": "1"})
    services.graph.get(url, Deadline.after(PROBE_TIMEOUT), permission="User.Read.All")
    return HEALTHY


def token_keys(services: "Services") -> Finding:
    from shared.entra.signing_keys import KeyStatus

    _ = services.authenticator  # whose issuers' keys are then looked after
    found = {key_set.status: key_set for key_set in services.signing_keys.health()}
    if unavailable := found.get(KeyStatus.UNAVAILABLE):
        reason = f"No signing keys can be had from {unavailable.metadata_url}: {unavailable.failure}."
        return Finding(HealthStatus.UNHEALTHY, reason)
    if stale := found.get(KeyStatus.STALE):
        reason = f"The signing keys of {stale.metadata_url} are those of {stale.refreshed_at}: {stale.failure}."
        return Finding(HealthStatus.DEGRADED, reason)
    return HEALTHY


def signing(services: "Services") -> Finding:
    """The active issuer's key can be used, and its certificate outlives the longest one that may be issued."""
    authority = services.authority
    authority.check(Deadline.after(PROBE_TIMEOUT))
    longest = timedelta(days=max(services.settings.pki.max_validity_days.values()))
    remaining = authority.active().not_after - system_clock()
    if remaining < longest:
        reason = (
            f"The issuer ends in {remaining.days} days, but certificates of {longest.days} days are allowed: "
            "plan `manage.py ca rollover`, or allow shorter ones only."
        )
        return Finding(HealthStatus.DEGRADED, reason)
    return HEALTHY


def sync(services: "Services") -> Finding:
    status = services.tenant_sync.status()
    if status.needs_attention:
        held = status.held.reason if status.held else None
        error = status.last_run.error if status.last_run else None
        return Finding(HealthStatus.DEGRADED, held or error or "The last tenant sync did not complete.")
    if status.last_success_at is None:
        return Finding(HealthStatus.DEGRADED, "No tenant sync has finished yet.")
    age = system_clock() - status.last_success_at
    if age > SYNC_LATE_AFTER:
        minutes = age.total_seconds() / 60
        return Finding(HealthStatus.DEGRADED, f"The last complete tenant sync ended {minutes:.0f} minutes ago.")
    return HEALTHY


def crl() -> Finding:
    return Finding(HealthStatus.NOT_CONFIGURED, "This version publishes no CRL.")
