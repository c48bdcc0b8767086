"""What health looks at: one probe for each part that the app stands on."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from shared.context import Deadline, system_clock
from shared.directory.records.crl import CrlPointer, crl_key
from shared.health import HEALTHY, PROBE_TIMEOUT, SEVERITY, Finding, HealthStatus, Probe
from shared.pki.expiry.status import receiver_name

if TYPE_CHECKING:
    from shared.services import Services

MAX_CLOCK_SKEW = timedelta(minutes=5)
SYNC_LATE_AFTER = timedelta(hours=1)
CRL_LATE_AFTER = timedelta(minutes=90)
NOTICES_LATE_AFTER = timedelta(hours=2)
CRL_LARGE = 15_000_000
"""Bytes. Entra's certificate-based authentication takes CRLs of up to 20 MB
(https://learn.microsoft.com/entra/identity/authentication/concept-certificate-based-authentication-certificate-revocation-list)."""


def probes(services: "Services") -> Mapping[str, Probe]:
    return {
        "storage": lambda: storage(services),
        "graph": lambda: graph(services),
        "token_keys": lambda: token_keys(services),
        "signing": lambda: signing(services),
        "sync": lambda: sync(services),
        "crl": lambda: crl(services),
        "notices": lambda: notices(services),
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
    from shared.entra.tokens.signing_keys import KeyStatus

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


def crl(services: "Services") -> Finding:
    """Each issuer's CRL is there, valid and made lately, and not about to be more than Entra takes."""
    issuers, now = services.crl_publisher.issuers(), system_clock()
    findings = [_crl_of(services.ledger.get(CrlPointer, crl_key(each.id)), each.id, now) for each in issuers]
    if not findings:
        return Finding(HealthStatus.NOT_CONFIGURED, "There is no issuer yet.")
    return max(findings, key=lambda finding: SEVERITY.index(finding.status))


def notices(services: "Services") -> Finding:
    """Expiry notices are raised, and reach the webhook."""
    configured, status = services.settings.notices, services.notice_statuses.get()
    if not configured.days:
        return Finding(HealthStatus.NOT_CONFIGURED)
    reason = None
    if status.gone and configured.webhook_url and status.gone == receiver_name(configured.webhook_url):
        reason = "The webhook for expiry notices answered 410 Gone: nothing is sent there any more."
    elif status.dead:
        reason = f"{status.dead} expiry notices were given up, the last one for: {status.error}."
    elif status.failing_since and system_clock() - status.failing_since > NOTICES_LATE_AFTER:
        since = f"{status.failing_since:%Y-%m-%d %H:%M} UTC"
        reason = f"No expiry notice has reached the webhook since {since}: {status.error}."
    elif status.finished_at and system_clock() - status.finished_at > NOTICES_LATE_AFTER:
        reason = f"The timer send_expiry_notices last ended at {status.finished_at:%Y-%m-%d %H:%M} UTC."
    advice = " See `manage.py certs expiring`, then `manage.py certs retry-notices`."
    return HEALTHY if reason is None else Finding(HealthStatus.DEGRADED, reason + advice)


def _crl_of(pointer: CrlPointer | None, issuer_id: str, now: datetime) -> Finding:
    name = f"The CRL of the issuer {issuer_id}"
    if pointer is None or pointer.next_update is None or pointer.built_at is None or pointer.size is None:
        return Finding(HealthStatus.DEGRADED, f"{name} has not been published yet: the timer publish_crls does it.")
    if now >= pointer.next_update:
        ended = f"{pointer.next_update:%Y-%m-%d %H:%M} UTC"
        return Finding(HealthStatus.UNHEALTHY, f"{name} ended at {ended}: nobody can log in by certificate.")
    age = now - pointer.built_at
    if age > CRL_LATE_AFTER:
        minutes = age.total_seconds() / 60
        return Finding(HealthStatus.DEGRADED, f"{name} was made {minutes:.0f} minutes ago; it is due every hour.")
    if pointer.size >= CRL_LARGE:
        size = f"{pointer.size / 1e6:.1f} MB"
        advice = "Plan `manage.py ca rollover`: a new issuer begins with an empty one."
        return Finding(HealthStatus.DEGRADED, f"{name} has {size}; Entra takes 20 MB. {advice}")
    return HEALTHY
