"""Pages look as Laravel's LengthAwarePaginator makes them."""

import pytest

from shared.api.pagination import page_window, paginated

URL = "https://pki.contoso.example/api/v1/entra-id/users"


def test_a_page_in_the_middle() -> None:
    page = paginated(["d", "e", "f"], total=8, page=2, per_page=3, url=f"{URL}?search=a%20b&active=1&page=2&per_page=3")

    link = f"{URL}?search=a+b&active=1&per_page=3&page="
    assert page == {
        "current_page": 2,
        "data": ["d", "e", "f"],
        "first_page_url": link + "1",
        "from": 4,
        "last_page": 3,
        "last_page_url": link + "3",
        "links": [
            {"url": link + "1", "label": "&laquo; Previous", "active": False},
            {"url": link + "1", "label": "1", "active": False},
            {"url": link + "2", "label": "2", "active": True},
            {"url": link + "3", "label": "3", "active": False},
            {"url": link + "3", "label": "Next &raquo;", "active": False},
        ],
        "next_page_url": link + "3",
        "path": URL,
        "per_page": 3,
        "prev_page_url": link + "1",
        "to": 6,
        "total": 8,
    }


def test_nothing_found_is_one_empty_page() -> None:
    page = paginated([], total=0, page=1, per_page=15, url=URL)

    assert (page["from"], page["to"], page["last_page"], page["total"]) == (None, None, 1, 0)
    assert page["next_page_url"] is None
    assert page["prev_page_url"] is None


def test_a_page_past_the_last_one_is_empty_and_leads_back() -> None:
    page = paginated([], total=8, page=9, per_page=3, url=URL)

    assert (page["current_page"], page["from"], page["next_page_url"]) == (9, None, None)
    assert page["prev_page_url"] == f"{URL}?page=8"


def test_a_present_but_empty_parameter_stays_in_the_links() -> None:
    page = paginated(["a"], total=2, page=1, per_page=1, url=f"{URL}?recently_synced=&per_page=1")

    assert page["next_page_url"] == f"{URL}?recently_synced=&per_page=1&page=2"


@pytest.mark.parametrize(
    ("page", "last_page", "window"),
    [
        (1, 13, list(range(1, 14))),
        (7, 14, [*range(1, 11), None, 13, 14]),
        (8, 20, [1, 2, None, 5, 6, 7, 8, 9, 10, 11, None, 19, 20]),
        (14, 20, [1, 2, None, *range(11, 21)]),
        (20, 20, [1, 2, None, *range(11, 21)]),
    ],
)
def test_the_links_window_slides_as_in_laravel(page: int, last_page: int, window: list[int | None]) -> None:
    assert page_window(page, last_page) == window
