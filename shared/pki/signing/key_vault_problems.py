"""What an answer of Azure Key Vault other than success means, in a sentence that says what to do.

https://learn.microsoft.com/azure/key-vault/general/rest-error-codes and the answers' own `innererror` codes.
"""

import email.utils
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from azure.core.exceptions import (
    HttpResponseError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.keyvault.keys import KeyOperation, KeyVaultKey
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from shared.errors import AppError
from shared.pki.errors import BackendMisconfigured, BackendThrottled, BackendTimeout, BackendUnavailable

PAUSE_FLOOR = timedelta(seconds=1)
"""Where Microsoft's advice for throttled clients begins
(https://learn.microsoft.com/azure/key-vault/general/overview-throttling)."""
PASSING = frozenset({408, 500, 502, 503, 504})
REFUSALS = frozenset({401, 403, 404, 429})
"""Given before anything is done. The server's errors and whatever a vault does not say are not among them."""
NEVER_SENT = (NewConnectionError, ConnectTimeoutError, ssl.SSLCertVerificationError)
"""No connection, or none that is trusted: requests reports what breaks later as the same class of error."""
RETRY_AFTER = timedelta(seconds=5)
"""What the caller is told when something passes, and the vault has not said when."""
GUIDE = "docs/key-vault.md"


class Doing(StrEnum):
    """What was asked of the vault. The values are data actions of Azure RBAC."""

    READ = "Microsoft.KeyVault/vaults/keys/read"
    SIGN = "Microsoft.KeyVault/vaults/keys/sign/action"
    CREATE = "Microsoft.KeyVault/vaults/keys/create/action"


@dataclass(frozen=True, slots=True)
class Subject:
    """Which key of which vault was asked for what."""

    doing: Doing
    vault_url: str
    name: str
    version: str = ""

    @property
    def vault(self) -> str:
        return urlsplit(self.vault_url).hostname or self.vault_url

    @property
    def key(self) -> str:
        return f"the key {self.name}" + (f", version {self.version}," if self.version else "")


@dataclass(frozen=True, slots=True)
class Problem:
    """What to raise, and whether the same request may do better in a moment.

    Attributes:
        passing: it may: try again.
        pause: how long the vault wants to be left alone before that; None if it did not say.
        unclear: the answer has several causes, and the state of the key tells which.
    """

    error: AppError
    passing: bool = False
    pause: timedelta | None = None
    unclear: bool = False

    def __post_init__(self) -> None:
        """Whatever passes tells the caller when to come back."""
        if self.passing and self.error.retry_after is None:
            self.error.retry_after = self.pause or RETRY_AFTER


def explain(failure: Exception, subject: Subject, now: datetime) -> Problem:
    """From what the SDK raised to the problem. Never raises."""
    match failure:
        case HttpResponseError() if failure.status_code is not None:
            return _explain_answer(failure, failure.status_code, subject, now)
        case ServiceRequestTimeoutError() | ServiceResponseTimeoutError():
            return Problem(BackendTimeout(f"{subject.vault} did not answer in time."), passing=True)
        case ServiceRequestError():
            return _explain_connection(failure, subject)
        case ServiceResponseError():
            return Problem(BackendUnavailable(f"{subject.vault} broke the connection off."), passing=True)
        case ValueError() if "does not match the requested domain" in str(failure):
            return Problem(
                BackendMisconfigured(
                    f"{subject.vault} asks for a token of another service than its name belongs to, so none is sent: "
                    "CA_KEY_VAULT_URL must be the vault's own URL. Only an emulator, in Development, needs "
                    "CA_KEY_VAULT_VERIFY_CHALLENGE=false."
                )
            )
        case _:
            return Problem(BackendUnavailable(f"{subject.vault} answered with something that no key vault says."))


def may_have_been_done(failure: Exception) -> bool:
    """Whether the request may have been carried out although it failed."""
    match failure:
        case HttpResponseError():
            return failure.status_code not in REFUSALS
        case ServiceRequestError():
            return not any(isinstance(cause, NEVER_SENT) for cause in _causes(failure))
        case _:
            return True


def unusable(key: KeyVaultKey, subject: Subject, now: datetime) -> BackendMisconfigured | None:
    """Why a key that is there cannot sign now; None if it can."""
    state = key.properties
    if state.enabled is False:
        return _disabled(subject)
    if state.not_before and now < state.not_before:
        return _not_yet_valid(subject, f" until {state.not_before:%Y-%m-%d %H:%M} UTC")
    if state.expires_on and now >= state.expires_on:
        return _expired(subject, f" on {state.expires_on:%Y-%m-%d %H:%M} UTC")
    if KeyOperation.sign not in (key.key_operations or []):
        return _not_for_signing(subject)
    return None


def soft_deleted(subject: Subject) -> BackendMisconfigured:
    return BackendMisconfigured(
        f"The key {subject.name} in {subject.vault} is deleted but recoverable, and its name is taken until then: "
        f"`az keyvault key recover --name {subject.name} --vault-name {subject.vault.partition('.')[0]}`."
    )


def _explain_answer(failure: HttpResponseError, status: int, subject: Subject, now: datetime) -> Problem:
    pause = _retry_after(failure, now)
    if status == 429:
        wait = pause or PAUSE_FLOOR
        return Problem(BackendThrottled(f"{subject.vault} is asked for too much at once.", wait), True, pause)
    if status in PASSING:
        return Problem(BackendUnavailable(f"{subject.vault} answered with status {status}."), True, pause)
    if status == 401:
        return Problem(
            BackendMisconfigured(
                f"{subject.vault} does not accept this app's token: check that CA_KEY_VAULT_URL is a key vault of the "
                "tenant ENTRA_TENANT_ID, and the clock of this machine."
            )
        )
    if status == 403:
        return _explain_refusal(failure, subject)
    if status == 404:
        return Problem(
            BackendMisconfigured(
                f"{subject.vault} has no {subject.key[4:].rstrip(',')}: check CA_KEY_VAULT_URL and CA_KEY_VAULT_KEY. A "
                "certificate authority keeps the vault, name and version that it was made with."
            ),
            unclear=True,
        )
    if status == 409:
        return Problem(soft_deleted(subject))
    return Problem(BackendUnavailable(f"{subject.vault} answered with status {status}, as no key vault should."))


def _explain_refusal(failure: HttpResponseError, subject: Subject) -> Problem:
    code = _inner_code(failure)
    said = (failure.error.message or "").lower() if failure.error else ""
    if code in ("ForbiddenByFirewall", "ForbiddenByConnection"):
        return Problem(
            BackendMisconfigured(
                f"The network rules of {subject.vault} refuse this address: allow the function app's subnet or "
                "outbound addresses, or reach the vault by its private endpoint."
            )
        )
    if code in ("ForbiddenByRbac", "ForbiddenByPolicy", "AccessDenied"):
        return Problem(_not_permitted(subject))
    for words, sentence in STATES:
        if any(word in said for word in words):
            return Problem(sentence(subject, ""), unclear=True)
    return Problem(_not_permitted(subject), unclear=True)


def _explain_connection(failure: ServiceRequestError, subject: Subject) -> Problem:
    causes = list(_causes(failure))
    if any(isinstance(cause, socket.gaierror) or type(cause).__name__ == "NameResolutionError" for cause in causes):
        return Problem(
            BackendMisconfigured(
                f"The name {subject.vault} cannot be resolved: check CA_KEY_VAULT_URL, and a private endpoint's DNS."
            ),
            passing=True,
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Problem(
            BackendMisconfigured(
                f"The TLS certificate of {subject.vault} is not trusted: something stands between this app and the "
                "vault, or REQUESTS_CA_BUNDLE lacks its root."
            )
        )
    return Problem(BackendUnavailable(f"{subject.vault} cannot be reached."), passing=True)


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """The exceptions inside an SDK error; requests and urllib3 keep theirs in `args` and `reason`."""
    waiting: list[object] = [failure]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [found.__cause__, found.__context__, getattr(found, "inner_exception", None)]
        waiting += [getattr(found, "reason", None), *found.args]


def _inner_code(failure: HttpResponseError) -> str:
    inner = failure.error.innererror if failure.error else None
    return str(inner.get("code", "")) if isinstance(inner, Mapping) else ""


def _retry_after(failure: HttpResponseError, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date (RFC 9110 10.2.3), never under the floor; None where it is absent or no such thing."""
    headers: Mapping[str, str] = getattr(failure.response, "headers", {})
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return max(PAUSE_FLOOR, timedelta(seconds=min(int(value), 86_400)))
    try:
        return max(PAUSE_FLOOR, email.utils.parsedate_to_datetime(value) - now)
    except (ValueError, TypeError):
        return None


def _not_permitted(subject: Subject) -> BackendMisconfigured:
    if subject.doing is Doing.CREATE:
        return BackendMisconfigured(
            f"This identity may not create keys in {subject.vault} ({subject.doing}): let somebody with the role Key "
            f"Vault Crypto Officer do this step, or create {subject.name} beforehand ({GUIDE})."
        )
    return BackendMisconfigured(
        f"This identity may not use {subject.key} in {subject.vault} ({subject.doing}): give it a role with that "
        f"action on the key, such as Key Vault Crypto User, and wait some minutes until it holds ({GUIDE})."
    )


def _disabled(subject: Subject, when: str = "") -> BackendMisconfigured:
    return BackendMisconfigured(
        f"In {subject.vault} {subject.key} is disabled{when}: `az keyvault key set-attributes --enabled true`."
    )


def _not_yet_valid(subject: Subject, when: str) -> BackendMisconfigured:
    return BackendMisconfigured(
        f"In {subject.vault} {subject.key} is not yet valid{when}: move its activation date "
        "(`az keyvault key set-attributes --not-before`)."
    )


def _expired(subject: Subject, when: str) -> BackendMisconfigured:
    return BackendMisconfigured(
        f"In {subject.vault} {subject.key} has expired{when} and signs no more: a CA's key needs no expiry date, move "
        "it (`az keyvault key set-attributes --expires`)."
    )


def _not_for_signing(subject: Subject, when: str = "") -> BackendMisconfigured:
    return BackendMisconfigured(
        f"In {subject.vault} {subject.key} does not permit the operation sign{when}: "
        "`az keyvault key set-attributes --ops sign verify`."
    )


# What a 403 says about the state of a key, where this identity may not look at it.
STATES: tuple[tuple[tuple[str, ...], Callable[[Subject, str], BackendMisconfigured]], ...] = (
    (("disabled key",), _disabled),
    (("not yet valid",), _not_yet_valid),
    (("expired key",), _expired),
    (("not permitted on this key",), _not_for_signing),
)
