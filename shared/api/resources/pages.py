"""One page of a list, in the shape of Laravel's paginator."""

from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field

from shared.api.pagination import paginated
from shared.api.resources.base import Resource
from shared.directory.replica.queries import Page


class PageLink(Resource):
    url: str | None
    label: str = Field(examples=["2"])
    active: bool


class Paginator(Resource):
    """One page; `data` holds its items."""

    current_page: int
    first_page_url: str
    from_: int | None = Field(alias="from", description="number of the first item of this page")
    last_page: int
    last_page_url: str
    links: list[PageLink] = Field(description="what a row of page links shows; without a URL where it leads nowhere")
    next_page_url: str | None
    path: str
    per_page: int
    prev_page_url: str | None
    to: int | None = Field(description="number of the last item of this page")
    total: int

    @classmethod
    def with_items(cls, items: Sequence[Resource], page: Page[Any], url: str) -> Self:
        """The page as it came from a query, with `items` for its records; `url` is the request's."""
        members = paginated(items, total=page.total, page=page.page, per_page=page.per_page, url=url)
        return cls.model_validate(members)
