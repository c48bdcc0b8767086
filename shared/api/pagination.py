"""Laravel's LengthAwarePaginator in JSON: the same members, the same links, the query string kept."""

import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

ON_EACH_SIDE = 3  # Laravel's default number of page links around the current one


def paginated(items: Sequence[Any], *, total: int, page: int, per_page: int, url: str) -> dict[str, Any]:
    """One page of `total` items.

    Args:
        items: the JSON values of this page.
        page: the current page, from 1; it may lie past the last one.
        url: the request's URL, whose path and query the links repeat.
    """
    last_page = max(1, math.ceil(total / per_page))
    links = _Links(url)
    first = (page - 1) * per_page + 1 if items else None
    previous = links.to(page - 1) if page > 1 else None
    following = links.to(page + 1) if page < last_page else None
    return {
        "current_page": page,
        "data": list(items),
        "first_page_url": links.to(1),
        "from": first,
        "last_page": last_page,
        "last_page_url": links.to(last_page),
        "links": [
            {"url": previous, "label": "&laquo; Previous", "active": False},
            *(links.entry(number, page) for number in page_window(page, last_page)),
            {"url": following, "label": "Next &raquo;", "active": False},
        ],
        "next_page_url": following,
        "path": links.path,
        "per_page": per_page,
        "prev_page_url": previous,
        "to": first + len(items) - 1 if first is not None else None,
        "total": total,
    }


def page_window(page: int, last_page: int) -> list[int | None]:
    """The page numbers to link to, None where Laravel shows three dots."""
    if last_page < ON_EACH_SIDE * 2 + 8:
        return list(range(1, last_page + 1))
    window = ON_EACH_SIDE + 4
    if page <= window:
        return [*range(1, window + ON_EACH_SIDE + 1), None, last_page - 1, last_page]
    if page > last_page - window:
        return [1, 2, None, *range(last_page - (window + ON_EACH_SIDE - 1), last_page + 1)]
    around = range(page - ON_EACH_SIDE, page + ON_EACH_SIDE + 1)
    return [1, 2, None, *around, None, last_page - 1, last_page]


class _Links:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.path = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        query = parse_qsl(parts.query, keep_blank_values=True)
        self._query = [(name, value) for name, value in query if name != "page"]

    def to(self, page: int) -> str:
        return f"{self.path}?{urlencode([*self._query, ('page', page)])}"

    def entry(self, number: int | None, page: int) -> dict[str, Any]:
        if number is None:
            return {"url": None, "label": "...", "active": False}
        return {"url": self.to(number), "label": str(number), "active": number == page}
