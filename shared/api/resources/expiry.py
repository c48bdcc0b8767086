"""Certificates about to end, with their notices."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from shared.api.resources.base import Resource
from shared.api.resources.certificates import CertificateSummaryResource
from shared.api.resources.pages import Paginator
from shared.api.resources.users import UserSummaryResource
from shared.directory.records.notice import ExpiryNotice
from shared.directory.replica.queries import CertificateSummary

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.pki.expiry.listing import ExpiringList


class NoticeResource(Resource):
    """The last notice raised for a certificate."""

    days: int = Field(description="before the certificate's end")
    raised_at: datetime
    state: Literal["waiting", "dead", "done"] = Field(
        description="done: delivered, or raised while there was no webhook; dead: given up after too many attempts"
    )
    attempts: int = Field(description="that failed, as long as it is not done")
    error: str | None = Field(description="of the last attempt")

    @classmethod
    def of(cls, certificate: CertificateSummary, notice: ExpiryNotice | None) -> Self | None:
        if certificate.notice_days is None or certificate.noticed_at is None:
            return None
        days, raised_at = certificate.notice_days, certificate.noticed_at
        if notice is None:
            return cls(days=days, raised_at=raised_at, state="done", attempts=0, error=None)
        state: Literal["waiting", "dead"] = "dead" if notice.dead else "waiting"
        return cls(days=days, raised_at=raised_at, state=state, attempts=notice.attempts, error=notice.error)


class ExpiringCertificate(CertificateSummaryResource):
    """An active certificate without a successor."""

    days_left: int = Field(description="whole days to its end")
    user: UserSummaryResource
    notice: NoticeResource | None


class ExpiringPage(Paginator):
    data: list[ExpiringCertificate]

    @classmethod
    def of(cls, found: "ExpiringList", url: str, now: datetime) -> Self:
        items = [
            ExpiringCertificate(
                **ExpiringCertificate.members_of(each, now),
                days_left=(each.not_after - now).days,
                user=UserSummaryResource(**UserSummaryResource.members_of(found.users[each.user_id or 0])),
                notice=NoticeResource.of(each, found.open_notices.get(each.id)),
            )
            for each in found.page.items
        ]
        return cls.with_items(items, found.page, url)
