"""Taking certificates away, and listing them."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from shared.api.requests.issuance import CertificateType
from shared.api.requests.pages import Paged
from shared.api.validation import IN_A_QUERY, QueryId, RequestModel, wrong
from shared.directory.records.certificate import MAX_COMMENT_LENGTH
from shared.directory.records.certificate import CertificateType as RecordedType
from shared.directory.replica.queries import CertificateQuery, EffectiveStatus, ExpiringCertificates
from shared.settings import MAX_NOTICE_DAYS, MAX_VALIDITY_DAYS

RevocableFor = Literal[
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
    "privilegeWithdrawn",
]
"""RFC 5280 5.3.1, without the reasons that speak of a whole authority."""


def _storable(text: str) -> str:
    if "\0" in text:
        raise wrong("must not have NUL characters.")
    return text


Comment = Annotated[
    str,
    Field(max_length=MAX_COMMENT_LENGTH),
    AfterValidator(_storable),
    WithJsonSchema({"type": "string", "maxLength": MAX_COMMENT_LENGTH, "pattern": r"^[^\u0000]*$"}),
]


class RevokeCertificate(RequestModel):
    """certificateHold can be released, all others are for good."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "keyCompromise", "comment": "lost laptop"}]})

    reason: RevocableFor = "unspecified"
    comment: Comment | None = Field(default=None, description="for the record; callers never see it")


class ReleaseCertificate(RequestModel):
    """Nothing can be said along with a release."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


class ListCertificates(Paged):
    user: QueryId | None = Field(default=None, description="the local id of the owner")
    status: Literal["pending", "active", "held", "revoked", "expired"] | None = None
    type: CertificateType | None = None
    expiring_within_days: Annotated[int, Field(ge=1, le=MAX_VALIDITY_DAYS), IN_A_QUERY] | None = None

    def as_query(self) -> CertificateQuery:
        return CertificateQuery(
            user_id=self.user,
            status=EffectiveStatus(self.status) if self.status else None,
            certificate_type=RecordedType(self.type) if self.type else None,
            expiring_within=timedelta(days=self.expiring_within_days) if self.expiring_within_days else None,
            page=self.page,
            per_page=self.per_page,
        )


class ListExpiringCertificates(Paged):
    within_days: Annotated[int, Field(ge=1, le=MAX_NOTICE_DAYS), IN_A_QUERY] = 30
    user: QueryId | None = Field(default=None, description="the local id of the owner")
    type: CertificateType | None = None

    def as_query(self) -> ExpiringCertificates:
        return ExpiringCertificates(
            within=timedelta(days=self.within_days),
            user_id=self.user,
            certificate_type=RecordedType(self.type) if self.type else None,
            page=self.page,
            per_page=self.per_page,
        )
