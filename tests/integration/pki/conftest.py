"""A CA of the test's own, on a real ledger in Azurite."""

from pathlib import Path

import pytest

from shared.directory.ledger import Ledger
from tests.support.pki import TestCa, software_backend


@pytest.fixture
def ca(ledger: Ledger, tmp_path: Path) -> TestCa:
    """Initialized, with a P-256 key in a file."""
    return TestCa.on(ledger, software_backend(tmp_path)).initialize()
