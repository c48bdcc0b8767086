"""What can go wrong between an order and its certificate: each error with its status, its code and its sentence."""

from datetime import timedelta

from shared.errors import AppError


class BackendThrottled(AppError):
    """The key store asks for a pause, past our own retries."""

    status, code = 429, "signing_throttled"

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message, retry_after=retry_after)


class BackendUnavailable(AppError):
    """The key store is down, unreachable or answers nonsense."""

    status, code = 503, "signing_unavailable"


class BackendTimeout(BackendUnavailable):
    """The key store did not answer before the caller's deadline."""

    status, code = 504, "signing_timeout"


class BackendMisconfigured(AppError):
    """The key store cannot work as configured. The message says what an operator has to do about it."""

    status, code = 503, "signing_misconfigured"
