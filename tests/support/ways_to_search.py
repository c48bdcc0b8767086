"""The ways in which the replica can carry out a search; both have to find the same users."""

import pytest

from shared.directory.replica import searching

BY_INDEX, BY_TEXT = WAYS = ("by index", "by reading every text")


def search_only(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Makes one way look fastest, whatever is searched for."""
    by_index = way == BY_INDEX
    monkeypatch.setattr(searching, "LONG_LISTS", 1e9 if by_index else -1.0)
    monkeypatch.setattr(searching, "RARE", 2.0 if by_index else -1.0)
    monkeypatch.setattr(searching, "FEW", 2.0 if by_index else 1e-9)
    monkeypatch.setattr(searching, "LOOKED_UP", 2.0 if by_index else 1e-9)
