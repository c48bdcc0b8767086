"""Which parts of the app work."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from pydantic import Field

from shared.api.resources.base import Resource
from shared.health import Finding, HealthReport, HealthStatus


class FindingResource(Resource):
    status: HealthStatus = Field(examples=["healthy"])
    reason: str | None = Field(default=None, description="what is wrong and what to do")
    latency_ms: float | None = None

    @classmethod
    def of(cls, finding: Finding, *, with_reasons: bool) -> Self:
        if not with_reasons:
            return cls(status=finding.status)
        return cls(
            status=finding.status,
            reason=finding.reason,
            latency_ms=round(finding.latency.total_seconds() * 1000, 1),
        )


class HealthResource(Resource):
    """Without credentials only each part's status; with them reasons and latencies too."""

    status: HealthStatus = Field(description="the worst of the checks", examples=["healthy"])
    checks: Mapping[str, FindingResource]
    checked_at: datetime

    @classmethod
    def of(cls, report: HealthReport, *, with_reasons: bool) -> Self:
        checks = {
            name: FindingResource.of(finding, with_reasons=with_reasons) for name, finding in report.checks.items()
        }
        return cls(status=report.status, checks=checks, checked_at=report.checked_at)
