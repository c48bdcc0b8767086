"""One page of a list, in the shape of Laravel's paginator (`shared.api.pagination` fills it)."""

from pydantic import Field

from shared.api.resources.base import Resource


class PageLink(Resource):
    url: str | None
    label: str
    active: bool


class Paginator(Resource):
    """Laravel's LengthAwarePaginator."""

    current_page: int
    first_page_url: str
    from_: int | None = Field(alias="from")
    last_page: int
    last_page_url: str
    links: list[PageLink]
    next_page_url: str | None
    path: str
    per_page: int
    prev_page_url: str | None
    to: int | None
    total: int
