"""Random users, certificates and queries from a seed: cheaper than `directory_strategies`, for long stories."""

from datetime import timedelta
from random import Random

from shared.directory.records.base import Record
from shared.directory.records.certificate import CertificateStatus
from shared.directory.replica.queries import CertificateQuery, EffectiveStatus, UserQuery
from tests.support.people import NOW, certificate, user

_WORDS = ("Ella", "Éva", "Jörg", "Stefan", "王伟", "O'Neil", "100%")
_SEARCHES = (None, "e", "la", "éva", "j", "stefan s", "王", "%", "'", "@contoso")
_LOCAL = 13
"""The id of a user who is not in Entra."""


def some_records(chance: Random, most_ids: int, most_users: int) -> list[Record]:
    """Users with ids below `most_ids`, each once, and some of their certificates."""
    users = (
        user(
            user_id,
            " ".join(chance.choices(_WORDS, k=2)),
            is_active=chance.random() < 0.8,
            object_id=None if user_id == _LOCAL else user(user_id).object_id,
            synced_at=NOW - timedelta(days=chance.randint(0, 3)),
        )
        for user_id in chance.sample(range(1, most_ids), k=chance.randint(1, most_users))
    )
    certificates = (
        certificate(
            certificate_id,
            chance.randint(1, most_ids),
            status=chance.choice(list(CertificateStatus)),
            not_after=NOW + timedelta(days=chance.randint(-1, 40)),
        )
        for certificate_id in chance.sample(range(1, max(4, most_ids // 2)), k=3)
    )
    return [*users, *certificates]


def a_user_query(chance: Random) -> UserQuery:
    return UserQuery(
        active=chance.choice((None, True, False)),
        synced_since=chance.choice((None, NOW - timedelta(days=1))),
        search=chance.choice(_SEARCHES),
        page=chance.choice((1, 1, 2, 9)),
        per_page=chance.choice((1, 3, 15)),
        sort=chance.choice(("id", "name", "synced_at")),
    )


def a_certificate_query(chance: Random) -> CertificateQuery:
    return CertificateQuery(
        user_id=chance.choice((None, None, 1, 2)),
        status=chance.choice((None, *EffectiveStatus)),
        page=chance.choice((1, 2)),
        per_page=chance.choice((1, 3, 15)),
    )
