"""The root of every error that a caller or an operator may see.

An error knows its HTTP status, its machine-readable code and its sentence; `shared.api.errors` is the only place that
turns one into a reply. Each package derives its own errors from here.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar


class AppError(Exception):
    """An error with a sentence for people and a code for programs.

    The message must be safe to show to the caller: no secret, no token, no stack, no storage key.

    Attributes:
        status: the HTTP status it maps to.
        code: the fixed, documented, machine-readable name of the cause.
        title: the short RFC 9457 title, the same for every occurrence of the code; None takes the status's phrase.
        retry_after: how long the caller should wait before trying again, if waiting can help.
        errors: messages by request field, for 422 only.
        details: further JSON members of the reply, beside the fixed ones.
    """

    status: ClassVar[int] = 500
    code: str = "server_error"
    title: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        retry_after: timedelta | None = None,
        errors: Mapping[str, Sequence[str]] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.errors = errors
        self.details = details or {}


class FieldError(AppError):
    """A field of the request is wrong (422); `errors` names it."""

    status, code = 422, "validation_failed"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, errors={field: [message]})
