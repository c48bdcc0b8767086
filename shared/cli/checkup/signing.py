"""The CA's keys: there, permitted, and the ones that the issuers' certificates name."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.cli.checkup.checks import Finding, Mark, failed, ok, warning
from shared.context import Deadline, system_clock
from shared.directory.records.issuer import IssuerStatus
from shared.errors import AppError
from shared.health import HealthStatus
from shared.health_probes import crl as probe_crl

if TYPE_CHECKING:
    from shared.pki.authority.issuer_material import IssuerMaterial
    from shared.services import Services

TRIAL_TIME = timedelta(seconds=20)
LOOKED_AT = 30
"""Anchors: a month's. `audit verify` looks at all."""
SIGNED_LATELY = timedelta(days=3)
"""One run of the timer may fail."""
TRIAL_TEXT = b"entra-pki doctor: a trial signature. This text is no certificate, no CRL and no OCSP response. "
"""What a trial signature is over, with 32 random bytes behind it. Whatever else this key signs is DER that begins with
the byte 30 hex (SEQUENCE); this begins with a letter, so the signature can never be taken for one of anything."""


def issuers(services: "Services") -> Sequence[Finding]:
    """Each issuer's key looks right and makes a signature that the issuer's certificate verifies."""
    found = services.crl_publisher.issuers()
    if not any(issuer.record.status is IssuerStatus.ACTIVE for issuer in found):
        return [failed("There is no issuer that could issue certificates.", "`manage.py ca init --name …` makes one.")]
    return [finding for issuer in found for finding in _issuer(services, issuer)]


def crls(services: "Services") -> Sequence[Finding]:
    """Each issuer's CRL is there, valid and made lately, as health sees it."""
    found = probe_crl(services)
    if found.status in (HealthStatus.HEALTHY, HealthStatus.NOT_CONFIGURED):
        return [ok(found.reason or "The CRL of every issuer is published and fresh.")]
    mark = Mark.WARNING if found.status is HealthStatus.DEGRADED else Mark.FAILED
    remedy = "`manage.py crl publish` makes one now; the timer publish_crls should: is the function app running?"
    return [Finding(mark, found.reason or str(found.status), remedy)]


def anchors(services: "Services") -> Sequence[Finding]:
    """The log is signed every day, and every signature is good. Whether the log agrees is for `audit verify`."""
    found = services.log_anchors.found(newest=LOOKED_AT)
    findings = [failed(problem, "Somebody wrote there by hand: find out who.") for problem in found.problems]
    last = max((anchor.signed_at for anchor in found.good), default=None)
    remedy = "The timer anchor_log signs every day: is the function app running?"
    if last is None:
        findings.append(warning("The log was never signed: a rewritten one could not be told from it.", remedy))
    elif system_clock() - last > SIGNED_LATELY:
        findings.append(warning(f"The log was signed last on {last:%Y-%m-%d}.", remedy))
    else:
        findings.append(ok(f"The log was signed last on {last:%Y-%m-%d %H:%M} UTC."))
    return findings


def _issuer(services: "Services", issuer: "IssuerMaterial") -> list[Finding]:
    name = f"{issuer.record.subject} ({issuer.record.status}, {issuer.record.key_reference})"
    try:
        _sign_trial(services, issuer)
    except AppError as error:
        return [failed(f"{name}: {error.message}")]
    findings = [ok(f"{name} signs, and its certificate verifies it.")]
    if issuer.record.status is IssuerStatus.ACTIVE:
        findings += _remaining(services, issuer)
    return findings


def _sign_trial(services: "Services", issuer: "IssuerMaterial") -> None:
    from cryptography.exceptions import InvalidSignature

    from shared.pki.errors import IssuerKeyMismatch
    from shared.pki.keys import sign, verify

    deadline = Deadline.after(TRIAL_TIME)
    key = services.authority.signing_key(issuer, deadline)
    services.signing_backend.check(issuer.record.key_reference, deadline)
    text = TRIAL_TEXT + secrets.token_bytes(32)
    try:
        verify(issuer.public_key, sign(key, text), text)
    except InvalidSignature:
        raise IssuerKeyMismatch(issuer.id) from None


def _remaining(services: "Services", issuer: "IssuerMaterial") -> list[Finding]:
    longest = timedelta(days=max(services.settings.pki.max_validity_days.values()))
    remaining = issuer.not_after - system_clock()
    if remaining >= longest:
        return []
    return [
        warning(
            f"It ends in {remaining.days:,} days, but certificates of {longest.days:,} days are allowed.",
            "Plan `manage.py ca rollover`, or allow shorter ones only (PKI_MAX_VALIDITY_DAYS_<TYPE>).",
        )
    ]
