"""Graph's refusals, in Graph's words. Shape: https://learn.microsoft.com/graph/errors."""

from collections.abc import Mapping


class GraphError(Exception):
    """An answer other than success: status, code, message and perhaps headers."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})


def bad_request(message: str) -> GraphError:
    """The OData layer's refusal: the URL does not parse against the model."""
    return GraphError(400, "BadRequest", message)


def request_bad_request(message: str) -> GraphError:
    """The directory's refusal: well-formed, but not allowed."""
    return GraphError(400, "Request_BadRequest", message)


def unsupported_query(message: str) -> GraphError:
    return GraphError(400, "Request_UnsupportedQuery", message)


def not_found(name: str) -> GraphError:
    message = f"Resource '{name}' does not exist or one of its queried reference-property objects are not present."
    return GraphError(404, "Request_ResourceNotFound", message)


def denied() -> GraphError:
    return GraphError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


def not_emulated(what: str) -> GraphError:
    """Something that Graph can do and this emulator cannot: loud, so that nobody takes it for Graph's answer."""
    return GraphError(501, "NotEmulated", f"Graph supports {what}; this emulator does not.")
