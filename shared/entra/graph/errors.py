"""What can go wrong between this app and Microsoft Graph, in the operator's words."""

from datetime import timedelta

from shared.errors import AppError


class GraphError(AppError):
    """Graph did not give what was asked for.

    Attributes:
        graph_code: Graph's own error code, empty where there was none.
    """

    status, code = 502, "graph_error"

    def __init__(self, message: str, *, graph_code: str = "", retry_after: timedelta | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.graph_code = graph_code


class GraphThrottled(GraphError):
    """Graph kept answering 429 for as long as the caller could wait."""

    status, code = 429, "graph_throttled"

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("Microsoft Graph is throttling this app; try again later.", retry_after=retry_after)


class GraphUnavailable(GraphError):
    """Graph could not be reached or kept answering with server errors."""

    status, code = 503, "graph_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Microsoft Graph is not available: {reason}.", retry_after=timedelta(seconds=30))


class GraphTimeout(GraphError):
    """The deadline came before Graph's answer."""

    status, code = 504, "graph_timeout"

    def __init__(self) -> None:
        super().__init__("Microsoft Graph did not answer in time.", retry_after=timedelta(seconds=30))


class GraphReplyInvalid(GraphError):
    """Graph's reply is not what its contract says: not JSON, too large, a redirect, parts missing."""

    status, code = 502, "graph_reply_invalid"

    def __init__(self, reason: str) -> None:
        super().__init__(f"Microsoft Graph sent a reply that cannot be used: {reason}.")


class GraphAuthenticationFailed(GraphError):
    """No token for Graph could be had, or Graph does not accept it."""

    status, code = 502, "graph_authentication_failed"


class GraphPermissionMissing(GraphError):
    """The app registration lacks an application permission, or an administrator's consent to it."""

    status, code = 502, "graph_permission_missing"

    def __init__(self, permission: str) -> None:
        super().__init__(
            f"Microsoft Graph refused the request: the app registration needs the application permission "
            f"{permission} with admin consent.",
            graph_code="Authorization_RequestDenied",
        )


class GraphRefused(GraphError):
    """Graph answered with a client error that waiting does not heal.

    Attributes:
        reply_status: the HTTP status of Graph's reply.
    """

    status, code = 502, "graph_request_refused"

    def __init__(self, reply_status: int, graph_code: str) -> None:
        super().__init__(
            f"Microsoft Graph refused the request with {reply_status} {graph_code or '(no error code)'}.",
            graph_code=graph_code,
        )
        self.reply_status = reply_status


class GraphNotFound(GraphRefused):
    """The object asked for does not exist (any more)."""

    code = "graph_not_found"


class PageTokenExpired(GraphRefused):
    """A page link of a listing is too old; the listing must start again."""

    code = "graph_page_token_expired"


class ResyncRequired(GraphRefused):
    """A delta link is no longer usable; the whole collection must be read again.

    https://learn.microsoft.com/graph/delta-query-overview#synchronization-reset
    """

    code = "graph_resync_required"


class UntrustedLink(GraphError):
    """A link in a reply leads somewhere else than to the configured Graph; the token was not sent there."""

    status, code = 502, "graph_untrusted_link"

    def __init__(self) -> None:
        super().__init__("Microsoft Graph's reply contains a link to another host; it was not followed.")


def refusal(status: int, graph_code: str, permission: str) -> GraphError:
    """The error for a 4xx reply other than 401 and 429.

    Args:
        permission: the application permission that the request needs, named to the operator on a 403.
    """
    if status == 403 and graph_code in ("Authorization_RequestDenied", "accessDenied"):
        return GraphPermissionMissing(permission)
    if status == 410 or (status in (400, 404) and _asks_for_resync(graph_code)):
        return ResyncRequired(status, graph_code)
    if graph_code == "Directory_ExpiredPageToken":
        return PageTokenExpired(status, graph_code)
    if status == 404:
        return GraphNotFound(status, graph_code)
    return GraphRefused(status, graph_code)


def _asks_for_resync(graph_code: str) -> bool:
    folded = graph_code.lower()
    return folded.startswith("resync") or folded in ("syncstatenotfound", "syncstateinvalid")
