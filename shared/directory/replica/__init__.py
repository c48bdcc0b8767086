"""The replica: a SQLite read model for lists, search, statistics and CRL contents (docs/replica.md)."""

from shared.directory.replica.errors import ReplicaBuilding, ReplicaUnavailable
from shared.directory.replica.queries import (
    MAX_SEARCH_LENGTH,
    CertificateQuery,
    CertificateStatistics,
    CertificateSummary,
    EffectiveStatus,
    Page,
    RevokedCertificate,
    Statistics,
    UserQuery,
    UserSort,
    UserStatistics,
    UserSummary,
)
from shared.directory.replica.replica import Replica

__all__ = [
    "MAX_SEARCH_LENGTH",
    "CertificateQuery",
    "CertificateStatistics",
    "CertificateSummary",
    "EffectiveStatus",
    "Page",
    "Replica",
    "ReplicaBuilding",
    "ReplicaUnavailable",
    "RevokedCertificate",
    "Statistics",
    "UserQuery",
    "UserSort",
    "UserStatistics",
    "UserSummary",
]
