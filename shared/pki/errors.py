"""What can go wrong between an order and its certificate: each error with its status, its code and its sentence."""

from datetime import timedelta

from shared.directory.records.certificate import Certificate
from shared.errors import AppError


class BackendError(AppError):
    """What a signing backend raises.

    Attributes:
        nothing_signed: whether it is certain that the operation made no signature, in any of its attempts. An answer
            that did not come, or that was lost, leaves it open.
    """

    nothing_signed: bool = False


class BackendThrottled(BackendError):
    """The key store asks for a pause, past our own retries."""

    status, code = 429, "signing_throttled"

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message, retry_after=retry_after)


class BackendUnavailable(BackendError):
    """The key store is down, unreachable or answers nonsense."""

    status, code = 503, "signing_unavailable"


class BackendTimeout(BackendUnavailable):
    """The key store did not answer before the caller's deadline."""

    status, code = 504, "signing_timeout"


class BackendMisconfigured(BackendError):
    """The key store cannot work as configured. The message says what an operator has to do about it."""

    status, code = 503, "signing_misconfigured"


class UserNotSynchronized(AppError):
    status, code = 409, "user_not_synchronized"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not synchronized with Entra ID: certificates are issued to Entra users only.")


class UserInactive(AppError):
    status, code = 409, "user_inactive"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not active in Entra ID: enable the account and synchronize it first.")


class UserDeleted(AppError):
    status, code = 409, "user_deleted"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has been deleted in Entra ID.")


class UserProtected(AppError):
    """A member of PKI_DENIED_GROUP_IDS, or one whose groups are not known."""

    status, code = 403, "user_protected"


class UserNotEntitled(AppError):
    status, code = 403, "user_not_entitled"

    def __init__(self, name: str, certificate_type: str) -> None:
        super().__init__(f"{name} is in none of the groups whose members may have {certificate_type} certificates.")


class CaNotInitialized(AppError):
    status, code = 503, "ca_not_initialized"

    def __init__(self) -> None:
        super().__init__("There is no active issuer yet: run `manage.py ca init` (or `ca import`, `ca activate`).")


class IssuerNotFound(AppError):
    status, code = 404, "issuer_not_found"

    def __init__(self, issuer_id: str) -> None:
        super().__init__(f"There is no issuer {issuer_id}.")


class IssuerChanged(AppError):
    """The active issuer was replaced between building a certificate and recording it."""

    status, code = 503, "issuer_changed"

    def __init__(self) -> None:
        super().__init__(
            "The CA's active issuer changed while the certificate was being made: nothing was issued. Try again.",
            retry_after=timedelta(seconds=1),
        )


class IssuerKeyMismatch(AppError):
    """The key that the backend has under the pinned reference is not the one in the issuer's certificate."""

    status, code = 503, "issuer_key_mismatch"

    def __init__(self, issuer_id: str) -> None:
        super().__init__(
            f"The signing backend's key is not that of the issuer {issuer_id}'s certificate: nothing is signed until "
            "CA_SIGNING_BACKEND and its settings point to the right key."
        )


class ClockSkewed(AppError):
    status, code = 503, "clock_skewed"

    def __init__(self, skew: timedelta) -> None:
        super().__init__(
            f"This machine's clock is {skew.total_seconds():.0f} s off the storage service's: nothing is signed until "
            "it is set right."
        )


class LintFailed(AppError):
    """Our own checks refuse the certificate that we were about to sign: a defect, caught before the signature."""

    status, code = 500, "lint_failed"

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("The certificate broke the CA's own rules and was not signed: " + "; ".join(findings))
        self.findings = findings


class SignatureRefused(AppError):
    """What the backend returned is not the issuer's signature over what was to be signed."""

    status, code = 502, "signature_invalid"

    def __init__(self) -> None:
        super().__init__("The signing backend returned a wrong signature; nothing was issued.")


class KeyMakerBusy(AppError):
    """So many keys are being made that this one would not be ready in time."""

    status, code = 429, "key_maker_busy"

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("Too many keys are being made right now; nothing was issued.", retry_after=retry_after)


class SerialNumberTaken(AppError):
    status, code = 503, "serial_number_taken"

    def __init__(self) -> None:
        super().__init__("The serial number drawn is in use already; nothing was signed. Try again.")


class SigningTooLate(AppError):
    """The reservation ran out before anything was signed."""

    status, code = 504, "signing_too_late"

    def __init__(self) -> None:
        super().__init__("The certificate was not signed within its time; nothing was issued. Try again.")


class IssuanceOvertaken(AppError):
    """The reservation was revoked before it could be confirmed; what was signed is recorded as revoked."""

    status, code = 503, "issuance_overtaken"

    def __init__(self) -> None:
        super().__init__("The certificate was revoked while it was being issued, and is not handed out. Try again.")


class IdempotencyKeyReused(AppError):
    status, code = 409, "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another request in the last 24 hours.")


class IdempotencyInFlight(AppError):
    status, code = 409, "idempotency_in_flight"

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("The first request with this Idempotency-Key is still in progress.", retry_after=retry_after)


class CeremonyRefused(AppError):
    """An operator's step in the life of the CA does not fit its state, or the material brought is not right."""

    status, code = 409, "ceremony_refused"


class UserChanged(AppError):
    """The user's names changed in the directory between building a certificate and recording it."""

    status, code = 503, "user_changed"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} was changed while the certificate was being made: nothing was issued. Try again.",
            retry_after=timedelta(seconds=1),
        )


class CertificateNotFound(AppError):
    status, code = 404, "certificate_not_found"

    def __init__(self, certificate: object) -> None:
        super().__init__(f"There is no certificate {certificate}.")


class AlreadyRevoked(AppError):
    """Revoked for good, for another reason than the one now given."""

    status, code = 409, "certificate_already_revoked"

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(
            f"Certificate {certificate.id} was revoked as {certificate.revocation_reason} already; that stays so."
        )


class CertificateExpired(AppError):
    status, code = 409, "certificate_expired"

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(f"Certificate {certificate.id} has expired; nobody accepts it any more.")


class NotRenewable(AppError):
    """Only a certificate in use, or one that ended lately, is renewed."""

    status, code = 409, "certificate_not_renewable"

    def __init__(self, certificate: Certificate, reason: str) -> None:
        super().__init__(f"Certificate {certificate.id} {reason} and cannot be renewed; provision another one.")


class AlreadyRenewed(AppError):
    status, code = 409, "certificate_already_renewed"

    def __init__(self, certificate: Certificate, successor: Certificate) -> None:
        super().__init__(
            f"Certificate {certificate.id} was renewed by {successor.id} already; renew that one, or revoke it first.",
            details={"renewed_by": successor.id},
        )


class RenewalInFlight(AppError):
    status, code = 409, "renewal_in_flight"

    def __init__(self, certificate: Certificate, lease: timedelta) -> None:
        super().__init__(
            f"Certificate {certificate.id} is being renewed right now.", retry_after=min(lease, timedelta(seconds=5))
        )


class NotHeld(AppError):
    status, code = 409, "certificate_not_held"

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(
            f"Certificate {certificate.id} is not on hold but {certificate.status}; only a hold is lifted."
        )


class HeldByDirectory(AppError):
    status, code = 409, "certificate_held_by_directory"

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(
            f"Certificate {certificate.id} is on hold because its user is disabled, deleted or out of scope "
            "in Entra ID; it is released when the user is back."
        )
