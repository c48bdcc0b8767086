"""Counts of users and certificates."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Self

from shared.api.resources.base import Resource
from shared.api.resources.tenant_sync import SyncCounts
from shared.directory.replica.queries import Statistics

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.entra.tenant_sync.report import SyncStatus


class UserCounts(Resource):
    total: int
    active: int
    inactive: int
    deleted: int
    synced_last_24h: int
    guests: int


class CertificateCounts(Resource):
    total: int
    active: int
    revoked: int
    expired: int
    pending: int
    expiring_30_days: int
    by_type: Mapping[str, int]
    revoked_by_reason: Mapping[str, int]


class StatisticsResource(Resource):
    users: UserCounts
    certificates: CertificateCounts
    sync: SyncCounts
    generated_at: datetime

    @classmethod
    def of(cls, counts: Statistics, sync: "SyncStatus", now: datetime) -> Self:
        return cls(
            users=UserCounts(**dataclasses.asdict(counts.users)),
            certificates=CertificateCounts(**dataclasses.asdict(counts.certificates)),
            sync=SyncCounts(**SyncCounts.members_of(sync)),
            generated_at=now,
        )
