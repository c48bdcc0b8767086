"""Whatever is committed, a replica answers as a plain look at every record would."""

import tempfile
import uuid
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.context import REQUEST_BUDGET, Deadline
from shared.directory.records.base import Record
from shared.directory.replica import ranks
from shared.directory.replica.queries import CertificateQuery, UserQuery
from shared.directory.replica.replica import Replica
from tests.support import directory_strategies as random_directory
from tests.support.directory_model import DirectoryModel
from tests.support.people import NOW
from tests.support.plain_ledger import PlainLedger
from tests.support.replica_comparison import assert_agrees
from tests.support.ways_to_search import WAYS, search_only

commits = st.lists(
    st.lists(random_directory.users() | random_directory.certificates(), min_size=1, max_size=12), max_size=8
)


@pytest.fixture(params=[*WAYS, "as planned"])
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of so few users that they are cut and dropped, and each way to search."""
    monkeypatch.setattr(ranks, "BLOCK_SIZE", 2)
    monkeypatch.setattr(ranks, "LARGEST_BLOCK", 4)
    if request.param in WAYS:
        search_only(monkeypatch, request.param)


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=commits,
    after=commits,
    queries=st.lists(random_directory.user_queries, min_size=1, max_size=10),
    certificate_queries=st.lists(random_directory.certificate_queries, min_size=1, max_size=5),
    round_started_at=st.none() | random_directory.moments,
)
def test_a_replica_that_was_built_and_then_followed_answers_like_the_model(
    before: list[list[Record]],
    after: list[list[Record]],
    queries: list[UserQuery],
    certificate_queries: list[CertificateQuery],
    round_started_at: datetime | None,
) -> None:
    ledger = PlainLedger(str(uuid.uuid4()))
    with tempfile.TemporaryDirectory() as folder:
        replica = Replica(ledger, Path(folder), ledger.tenant_id, clock=lambda: NOW)
        for commits in (before, after):
            for records in commits:
                ledger.commit(*{record.key: record for record in records}.values())
            replica.catch_up(Deadline.after(REQUEST_BUDGET))
            model = DirectoryModel(ledger.records)
            assert_agrees(replica, model, queries, certificate_queries, round_started_at)
        replica.close()
