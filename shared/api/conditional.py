"""Conditional requests (RFC 9110 13): whether what the caller has is still what it would get."""

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime


def http_date(moment: datetime) -> str:
    """IMF-fixdate, whole seconds, GMT (RFC 9110 5.6.7)."""
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)


def is_unchanged(
    if_none_match: str | None, if_modified_since: str | None, etag: str, last_modified: datetime | None
) -> bool:
    """Whether to answer 304. `etag` with its quotes; If-Modified-Since counts only without the other (13.2.2)."""
    if if_none_match is not None:
        candidates = (candidate.strip().removeprefix("W/") for candidate in if_none_match.split(","))
        return any(candidate in ("*", etag.removeprefix("W/")) for candidate in candidates)
    if if_modified_since is None or last_modified is None:
        return False
    try:
        since = parsedate_to_datetime(if_modified_since)
    except ValueError:
        return False
    return since.tzinfo is not None and last_modified.replace(microsecond=0) <= since
