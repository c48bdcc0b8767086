"""Holds a replica against the plain model: everything that it answers has to be what a look at every record gives."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from shared.directory.replica.queries import CertificateQuery, UserQuery
from shared.directory.replica.replica import Replica
from tests.support import directory_strategies
from tests.support.directory_model import DirectoryModel
from tests.support.people import NOW


def assert_agrees(
    replica: Replica,
    model: DirectoryModel,
    queries: Sequence[UserQuery],
    certificate_queries: Sequence[CertificateQuery],
    round_started_at: datetime | None = None,
) -> None:
    """Asks for the pages, and for all else there is; the replica has caught up with what the model holds."""
    for query in queries:
        page, expected = replica.users(query, round_started_at=round_started_at), model.users(query, round_started_at)
        assert ([user.id for user in page.items], page.total) == (expected.ids, expected.total), query
    for certificate_query in certificate_queries:
        found, expected = replica.certificates(certificate_query), model.certificates(certificate_query, NOW)
        assert ([c.id for c in found.items], found.total) == (expected.ids, expected.total), certificate_query
    statistics = replica.statistics(NOW, round_started_at=round_started_at)
    assert asdict(statistics.users) == model.user_statistics(NOW, round_started_at)
    assert asdict(statistics.certificates) == model.certificate_statistics(NOW)
    owners = list(range(1, directory_strategies.MOST_IDS + 1))
    active = replica.active_certificates(owners)
    assert {owner: [c.id for c in owned] for owner, owned in active.items()} == model.active_certificates(owners, NOW)
    for issuer_id in directory_strategies.ISSUERS:
        with replica.revoked_certificates(issuer_id) as (_, entries):
            assert [(entry.serial_number, entry.reason) for entry in entries] == model.revoked(issuer_id)
