"""The ways in which the replica can carry out a search; all have to find the same users."""

import pytest

from shared.directory.replica import searching

BY_INDEX, BY_RAREST, BY_TEXT = WAYS = ("by index", "by the rarest trigram", "by reading every text")


def search_only(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Makes one way look fastest, whatever is searched for."""
    by_text = way == BY_TEXT
    monkeypatch.setattr(searching, "TEXT", -1.0 if by_text else 1e12)
    monkeypatch.setattr(searching, "LOOKUP", 0.0 if way == BY_RAREST else 1e9)
    monkeypatch.setattr(searching, "RARE", -1.0 if by_text else 2.0)
    monkeypatch.setattr(searching, "FEW", 1e-9 if by_text else 2.0)
