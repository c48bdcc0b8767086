"""Entra ID and Graph: does the app get in, what may it do there, and is the directory in step?"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from shared.cli.checkup.checks import Finding, Mark, failed, ok, warning
from shared.context import Deadline, system_clock
from shared.entra.graph.errors import GraphAuthenticationFailed, GraphPermissionMissing
from shared.entra.graph.users import READ_GROUPS, READ_USERS
from shared.health import HealthStatus
from shared.health_probes import sync as probe_sync
from shared.health_probes import token_keys as probe_token_keys
from shared.settings import CredentialKind

if TYPE_CHECKING:
    from shared.health import Finding as HealthFinding
    from shared.services import Services

TRIAL_TIME = timedelta(seconds=20)
ENDS_SOON = timedelta(days=30)

TRIALS: Mapping[str, str] = {READ_USERS: "/users", READ_GROUPS: "/groups"}
"""Each permission that the app needs, and a collection that cannot be read without it."""

SIGN_IN_REMEDIES: Mapping[str, str] = {
    "7000215": "The secret is wrong: ENTRA_CLIENT_SECRET must be the secret's value, not its id.",
    "7000222": "The secret has expired: make a new one (`az ad app credential reset --id <client id>`).",
    "700016": "There is no such app in this tenant: check ENTRA_CLIENT_ID and ENTRA_TENANT_ID.",
    "90002": "There is no such tenant: check ENTRA_TENANT_ID and ENTRA_CLOUD.",
    "700027": "The app registration does not know this certificate: upload it, or check ENTRA_CLIENT_CERTIFICATE_PATH.",
}
"""By AADSTS number: https://learn.microsoft.com/entra/identity-platform/reference-error-codes"""


def sign_in(services: "Services") -> Sequence[Finding]:
    """A new token for Graph, not one from a cache."""
    entra = services.settings.entra
    try:
        services.credentials.graph_token(fresh=True)
    except GraphAuthenticationFailed as error:
        number = re.search(r"AADSTS(\d+)", error.message)
        remedy = SIGN_IN_REMEDIES.get(number[1]) if number else None
        return [failed(error.message, remedy or "Check the network and TLS checks, then the ENTRA_* settings.")]
    kind = {
        CredentialKind.SECRET: "by its secret",
        CredentialKind.CERTIFICATE: "by its certificate",
        CredentialKind.MANAGED_IDENTITY: "by managed identity",
    }[entra.credential]
    findings = [ok(f"Entra ID signs the app {entra.client_id} in, {kind}.")]
    if entra.credential is CredentialKind.CERTIFICATE and entra.client_certificate_path is not None:
        findings += _certificate_end(entra.client_certificate_path, system_clock())
    return findings


def permissions(services: "Services") -> Sequence[Finding]:
    """What counts is whether Graph answers; what the token says shows what the app could do beyond."""
    roles = _roles(services.credentials.graph_token())
    findings = [_trial(services, permission, roles) for permission in TRIALS]
    writing = sorted(role for role in roles if "Write" in role)
    if writing:
        findings.append(
            warning(
                f"The app may change things in Entra ID: {', '.join(writing)}.",
                "It only ever reads: take these permissions away from it.",
            )
        )
    return findings


def token_keys(services: "Services") -> Sequence[Finding]:
    """The keys that callers' tokens are checked with."""
    return [_from_health(probe_token_keys(services), "The keys that sign callers' tokens are at hand.")]


def tenant_sync(services: "Services") -> Sequence[Finding]:
    return [
        _from_health(
            probe_sync(services),
            "The last tenant sync went well.",
            "`manage.py sync` runs it and says what hinders it.",
        )
    ]


def _trial(services: "Services", permission: str, roles: frozenset[str]) -> Finding:
    graph = services.graph
    url = graph.url(TRIALS[permission], {"$select": "id", "$top": "1"})
    try:
        graph.get(url, Deadline.after(TRIAL_TIME), permission=permission)
    except GraphPermissionMissing as error:
        return failed(
            error.message,
            f"Give the app the application permission {permission} with an administrator's consent; new tokens have "
            "it, at the latest after an hour.",
        )
    if roles and permission not in roles:
        return warning(
            f"{TRIALS[permission]} can be read, but not by {permission}: by something stronger.",
            f"{permission} is enough.",
        )
    return ok(f"{permission}: {TRIALS[permission]} can be read.")


def _roles(token: str) -> frozenset[str]:
    """What the token says that the app may do; nothing if it cannot be read, for Graph's tokens are Graph's own."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return frozenset(map(str, claims.get("roles", ())))
    except (IndexError, ValueError, TypeError, AttributeError):
        return frozenset()


def _certificate_end(path: Path, now: datetime) -> list[Finding]:
    from cryptography import x509

    end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    if end - now > ENDS_SOON:
        return []
    told = f"The certificate in {path} ends on {end:%Y-%m-%d}."
    remedy = "Upload a new one to the app registration, then exchange the file."
    return [failed(told, remedy) if end <= now else warning(told, remedy)]


def _from_health(found: "HealthFinding", good: str, remedy: str | None = None) -> Finding:
    if found.status in (HealthStatus.HEALTHY, HealthStatus.NOT_CONFIGURED):
        return ok(found.reason or good)
    mark = Mark.WARNING if found.status is HealthStatus.DEGRADED else Mark.FAILED
    return Finding(mark, found.reason or str(found.status), remedy)
