"""Which errors a route may send: a table of what a request asks for, and what can then go wrong.

The errors are real ones, so that their bodies in the description are those that are sent. Each rule speaks of routes by
what they take and need, so that a new route has its errors without being named here.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from shared.api.authentication import Unauthenticated, lacks
from shared.api.body import BodyTooLarge, MalformedBody, NotJson
from shared.api.errors import HttpsRequired, MalformedIdempotencyKey, MalformedUrl, NoSuchId, RouteNotFound
from shared.api.openapi.parameters import local_ids
from shared.api.permissions import Permission
from shared.api.routes import ENTRA_ID, PKI, Route
from shared.api.validation import ValidationFailed, validated
from shared.context import ActorKind
from shared.directory.errors import (
    ChangeTooLarge,
    LedgerBusy,
    OutcomeUnknown,
    StorageRefused,
    StorageUnavailable,
    UserNotFound,
)
from shared.directory.records.certificate import Certificate, CertificateStatus, KeyOrigin, RevocationReason
from shared.directory.replica.errors import ReplicaBuilding, ReplicaUnavailable
from shared.entra.entra_user import EntraUserMalformed
from shared.entra.graph.errors import (
    GraphAuthenticationFailed,
    GraphPermissionMissing,
    GraphRefused,
    GraphReplyInvalid,
    GraphThrottled,
    GraphTimeout,
    GraphUnavailable,
)
from shared.entra.graph.users import EntraUserNotFound
from shared.entra.tenant_sync.lease import Lease, LeaseTaken
from shared.entra.tokens.errors import KeysUnavailable, TokenError, TokenRejected
from shared.entra.user_principal_name import UserPrincipalNameInvalid
from shared.errors import AppError
from shared.pki import errors as pki
from shared.pki.crl.errors import CrlMissing, CrlNotPublished
from shared.settings import InvalidSettings

Applies = Callable[[Route], bool]

_NAME, _UPN, _ISSUER = "Ada Lovelace", "ada@contoso.example", "5a0c9f3e1b2d4c68"
_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
_SOON = timedelta(seconds=10)
_CERTIFICATE = Certificate(
    id=7,
    status=CertificateStatus.REVOKED,
    issuer_id=_ISSUER,
    issuer="CN=Contoso User CA",
    serial_number="26c075d4dfe27d8a7d79fff70d2d425c66f948d5",
    subject=f"CN={_NAME}",
    not_before=_NOON,
    not_after=_NOON,
    key_type="rsa",
    key_size=2048,
    key_origin=KeyOrigin.CSR,
    public_key_sha256="",
    requester_kind=ActorKind.APP,
    requester_id="",
    tbs_sha256="",
    sign_before=_NOON,
    revocation_reason=RevocationReason.SUPERSEDED,
    created_at=_NOON,
    updated_at=_NOON,
)
_LEASE = Lease(1, "timer", "", _NOON, _NOON)


def _always(_: Route) -> bool:
    return True


def _reads_settings(route: Route) -> bool:
    return not route.reply_type.startswith("text/")


def _uses_storage(route: Route) -> bool:
    return route.permission is not None or _hands_out_what_is_stored(route)


def _hands_out_what_is_stored(route: Route) -> bool:
    return re.fullmatch(rf"{PKI}/\{{issuer\}}/[a-z.]*(crt|pem|crl)", route.template) is not None


def _starts_a_sync(route: Route) -> bool:
    return route.method == "POST" and route.template == f"{ENTRA_ID}/sync"


def _needs_credentials(route: Route) -> bool:
    return route.permission is not None


def _refuses_http(route: Route) -> bool:
    return route.https_only or _needs_credentials(route)


def _takes_json(route: Route) -> bool:
    return route.body is not None


def _changes_something(route: Route) -> bool:
    return route.method == "POST" and route.permission in (Permission.SYNC, Permission.ISSUE, Permission.REVOKE)


def _reads_the_replica(route: Route) -> bool:
    return route.query is not None or _at(f"{ENTRA_ID}/(users/.+|statistics)")(route)


def _is_idempotent(route: Route) -> bool:
    return route.idempotent


def _with(permission: Permission) -> Applies:
    return lambda route: route.permission is permission


def _at(pattern: str) -> Applies:
    return lambda route: re.fullmatch(pattern, route.template) is not None


def _names(parameter: str) -> Applies:
    return lambda route: f"{{{parameter}}}" in route.template


def _brings(*fields: str) -> Applies:
    return lambda route: route.body is not None and any(field in route.body.model_fields for field in fields)


RULES: tuple[tuple[Applies, tuple[AppError, ...]], ...] = (
    (_takes_json, (MalformedBody("The body is not JSON: Expecting value at line 1, column 2."),)),
    (_takes_json, (BodyTooLarge("The body is 300000 bytes long; at most 262144 are allowed."),)),
    (_takes_json, (NotJson("Send the body as application/json."),)),
    (lambda route: route.query is not None, (MalformedUrl(),)),
    (_is_idempotent, (MalformedIdempotencyKey("The Idempotency-Key header must come once, without a comma."),)),
    (_needs_credentials, (Unauthenticated("invalid_token", "The API token is unknown, revoked or expired."),)),
    (_with(Permission.VALIDATE), (TokenRejected(TokenError.WRONG_AUDIENCE),)),
    (_refuses_http, (HttpsRequired("Use https: over http only CA certificates, CRLs and OCSP are served."),)),
    (_names("asset"), (RouteNotFound("The route api/docs/nothing could not be found."),)),
    (_hands_out_what_is_stored, (pki.IssuerNotFound(_ISSUER),)),
    (_brings("user_id"), (UserNotFound(7),)),
    (_brings("user_principal_name"), (EntraUserNotFound(_UPN), UserPrincipalNameInvalid(), EntraUserMalformed("", ""))),
    (
        _brings("user_principal_name", "user_principal_names"),
        (
            GraphThrottled(_SOON),
            GraphAuthenticationFailed("Entra ID refused this app's sign-in: invalid_client."),
            GraphPermissionMissing("User.Read.All"),
            GraphReplyInvalid("it is not JSON"),
            GraphRefused(400, "Request_BadRequest"),
            GraphUnavailable("it answers 503"),
            GraphTimeout(),
        ),
    ),
    (_starts_a_sync, (LeaseTaken(_LEASE, _SOON),)),
    (
        _with(Permission.ISSUE),
        (
            pki.UserProtected(f"{_NAME} is a member of a protected group, to which nothing is issued here."),
            pki.UserNotEntitled(_NAME, "code_signing"),
            pki.UserNotSynchronized(_NAME),
            pki.UserInactive(_NAME),
            pki.UserDeleted(_NAME),
            pki.BackendThrottled("Key Vault is throttling this app.", _SOON),
            pki.KeyMakerBusy(_SOON),
            pki.SignatureRefused(),
            pki.CaNotInitialized(),
            pki.BackendUnavailable("Key Vault cannot be reached."),
            pki.BackendMisconfigured("Key Vault refuses: give the app's identity the role Key Vault Crypto User."),
            pki.BackendTimeout("Key Vault did not answer in time."),
            pki.SigningTooLate(),
            pki.IssuerChanged(),
            pki.IssuerKeyMismatch(_ISSUER),
            pki.ClockSkewed(timedelta(minutes=6)),
            pki.UserChanged(_NAME),
            pki.SerialNumberTaken(),
            pki.IssuanceOvertaken(),
            pki.LintFailed(("the subject is empty",)),
        ),
    ),
    (_is_idempotent, (pki.IdempotencyKeyReused(), pki.IdempotencyInFlight(_SOON))),
    (_at(".*/revoke"), (pki.AlreadyRevoked(_CERTIFICATE), pki.CertificateExpired(_CERTIFICATE))),
    (_at(".*/release"), (pki.NotHeld(_CERTIFICATE), pki.HeldByDirectory(_CERTIFICATE))),
    (_at(".*/renew"), (pki.NotRenewable(_CERTIFICATE, "is revoked"), pki.AlreadyRenewed(_CERTIFICATE, _CERTIFICATE))),
    (_at(".*/renew"), (pki.RenewalInFlight(_CERTIFICATE, _SOON),)),
    (_reads_settings, (InvalidSettings({}),)),
    (_uses_storage, (StorageUnavailable("The storage service cannot be reached."),)),
    (_uses_storage, (StorageRefused("The storage service refused the request: AuthorizationFailure."),)),
    (_needs_credentials, (KeysUnavailable(_SOON),)),
    (_reads_the_replica, (ReplicaBuilding(), ReplicaUnavailable("The search index does not fit into this instance."))),
    (_changes_something, (LedgerBusy(), OutcomeUnknown(), ChangeTooLarge("The change does not fit one transaction."))),
    (_at(f"{PKI}/{{issuer}}/crl.*"), (CrlNotPublished(_ISSUER), CrlMissing("12"))),
    (_always, (AppError("Server Error"),)),
)

SHARED_FAILURES: tuple[AppError, ...] = tuple(failure for _, failures in RULES for failure in failures)
"""Those that look the same wherever they come from."""


def failures_of(route: Route) -> list[AppError]:
    """One error for each code that the route may answer with, but for the statuses of its regular replies."""
    found = [failure for applies, failures in RULES if applies(route) for failure in failures]
    found += [lacks(route.permission)] if route.permission is not None else []
    found += [NoSuchId(kind, "7") for kind in local_ids(route)]
    found += [failure for model in (route.body, route.query) if (failure := _refusal(model)) is not None]
    return [failure for failure in found if failure.status not in route.also]


def _refusal(model: type[BaseModel] | None) -> ValidationFailed | None:
    """What is said of fields that this model cannot take."""
    if model is None:
        return None
    wrong: Mapping[str, str] = {"per_page": "1000", "page": "0", "colour": "blue"}
    try:
        validated(model, wrong)
    except ValidationFailed as failure:
        return failure
    return None
