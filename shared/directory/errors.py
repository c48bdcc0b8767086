"""What can go wrong in the directory, as a caller or an operator sees it."""

from datetime import timedelta

from shared.errors import AppError


class StorageUnavailable(AppError):
    """The storage service did not answer in time or answered with an error; nothing was changed by this call."""

    status, code = 503, "storage_unavailable"

    def __init__(self, message: str, *, retry_after: timedelta = timedelta(seconds=2)) -> None:
        super().__init__(message, retry_after=retry_after)


class LedgerBusy(StorageUnavailable):
    """The change could not get its turn before the deadline; it was not applied."""

    code = "directory_busy"

    def __init__(self) -> None:
        super().__init__("The directory is busy; the change was not applied. Try again.")


class OutcomeUnknown(AppError):
    """The change may or may not have been applied: the storage service did not confirm it before the deadline."""

    status, code = 503, "outcome_unknown"

    def __init__(self) -> None:
        super().__init__(
            "The storage service did not confirm the change in time; it may have been applied. "
            "Look before you repeat it, or repeat it with the same idempotency key.",
            retry_after=timedelta(seconds=2),
        )


class StorageRefused(AppError):
    """The storage service refused a request as wrong or not allowed; repeating it cannot help."""

    status, code = 500, "storage_refused"


class ChangeTooLarge(AppError):
    """One request changes more than one table transaction can carry, or one record is larger than a table row."""

    status, code = 413, "change_too_large"


class UnstorableValue(AppError):
    """A table row cannot carry the value without loss: text with NUL or a lone surrogate, an integer over 64 bits."""

    status, code = 422, "unstorable_value"


class MalformedRow(AppError):
    """A row in the directory is not one that this app writes."""

    status, code = 500, "directory_malformed"

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


class StateChanged(AppError):
    """Somebody else changed the state since it was read."""

    status, code = 409, "state_changed"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} was changed by another process.")


class UserNotFound(AppError):
    status, code = 404, "user_not_found"

    def __init__(self, user: object) -> None:
        super().__init__(f"There is no user {user}.")
