"""The models of what requests bring: one per function, validated by `shared.api.validation`."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from shared.api.errors import MalformedIdempotencyKey
from shared.api.validation import QueryBool, QueryInt, QueryModel, RequestModel, UserPrincipalName, wrong
from shared.directory.records.certificate import MAX_COMMENT_LENGTH
from shared.directory.records.certificate import CertificateType as RecordedType
from shared.directory.replica.queries import (
    MAX_SEARCH_LENGTH,
    CertificateQuery,
    EffectiveStatus,
    ExpiringCertificates,
    UserQuery,
)
from shared.directory.replica.text_folding import fold
from shared.settings import KEY_SIZES, MAX_NOTICE_DAYS, MAX_VALIDITY_DAYS

if TYPE_CHECKING:
    from shared.entra.tenant_sync import SyncOrder
    from shared.pki.order import Order
    from shared.pki.renewal import RenewalOrder

MAX_TOKEN_LENGTH = 200_000
MAX_BULK = 50
MAX_CSR_LENGTH = 20_000
MAX_ID = 2**31 - 1
MAX_HOURS = 10 * 365 * 24
IDEMPOTENCY_KEY = re.compile(r"[!-+\--~]{1,255}")

CertificateType = Literal["client_auth", "email_protection", "code_signing"]


class SyncUser(RequestModel):
    user_principal_name: UserPrincipalName


class StartSync(RequestModel):
    """`full` reads and compares everything, even where the changes alone would do."""

    full: bool = False

    def as_order(self) -> "SyncOrder":
        from shared.entra.tenant_sync import SyncOrder

        return SyncOrder(full=self.full)


class BulkSyncUsers(RequestModel):
    user_principal_names: Annotated[list[UserPrincipalName], Field(min_length=1, max_length=MAX_BULK)]


def _offered_key_size(value: int) -> int:
    if value not in KEY_SIZES:
        raise PydanticCustomError("selected", "not offered")
    return value


class CertificateOwner(RequestModel):
    """Whom a certificate is for, and what for."""

    user_id: Annotated[int, Field(ge=1, le=MAX_ID)]
    certificate_type: CertificateType = "client_auth"


class CertificateForm(RequestModel):
    """How long a certificate is to be valid, whose key it is for, and how a key made here is handed out."""

    validity_days: Annotated[int, Field(ge=1, le=MAX_VALIDITY_DAYS)] | None = None
    key_size: Annotated[int, AfterValidator(_offered_key_size)] | None = None
    csr: Annotated[str, Field(min_length=1, max_length=MAX_CSR_LENGTH)] | None = None
    format: Literal["pem", "pkcs12"] = "pem"
    pkcs12_password: Annotated[str, Field(min_length=16, max_length=128)] | None = None
    pkcs12_encryption: Literal["modern", "legacy"] = "modern"

    @field_validator("pkcs12_password")
    @classmethod
    def _has_a_key_to_encrypt(cls, password: str | None, info: ValidationInfo) -> str | None:
        if password is not None and info.data.get("csr") is not None:
            raise wrong("cannot be combined with a CSR: the private key is not here.")
        return password

    @field_validator("pkcs12_encryption")
    @classmethod
    def _has_a_pkcs12_to_encrypt(cls, chosen: str, info: ValidationInfo) -> str:
        if chosen == "legacy" and info.data.get("format") == "pem":
            raise wrong("cannot be legacy with the format pem: it is for pkcs12.")
        return chosen

    @field_validator("csr")
    @classmethod
    def _brings_its_own_key(cls, csr: str | None, info: ValidationInfo) -> str | None:
        if csr is not None and info.data.get("key_size") is not None:
            raise wrong("cannot be combined with key size: the key of a CSR has its size already.")
        return csr

    @field_validator("format")
    @classmethod
    def _has_a_key_to_pack(cls, chosen: str, info: ValidationInfo) -> str:
        if chosen == "pkcs12" and info.data.get("csr") is not None:
            raise wrong("cannot be pkcs12 with a CSR: the private key is not here.")
        return chosen


class ProvisionCertificate(CertificateForm, CertificateOwner):
    """Beyond the fields of the original: a CSR instead of a key made here, and PKCS#12 instead of PEM."""

    def as_order(self, *, default_validity_days: int, default_key_size: int) -> "Order":
        """With the settings' defaults for what the request leaves open."""
        from shared.pki.order import KeyFormat, Order, Pkcs12Encryption

        return Order(
            user_id=self.user_id,
            certificate_type=RecordedType(self.certificate_type),
            validity_days=self.validity_days or default_validity_days,
            key_size=None if self.csr else self.key_size or default_key_size,
            csr=self.csr,
            format=KeyFormat(self.format),
            pkcs12_password=self.pkcs12_password,
            pkcs12_encryption=Pkcs12Encryption(self.pkcs12_encryption),
        )


class RenewCertificate(CertificateForm):
    """Left out, validity and key size are those of the certificate that is renewed."""

    def as_order(self, certificate_id: int) -> "RenewalOrder":
        from shared.pki.order import KeyFormat, Pkcs12Encryption
        from shared.pki.renewal import RenewalOrder

        return RenewalOrder(
            certificate_id=certificate_id,
            validity_days=self.validity_days,
            key_size=self.key_size,
            csr=self.csr,
            format=KeyFormat(self.format),
            pkcs12_password=self.pkcs12_password,
            pkcs12_encryption=Pkcs12Encryption(self.pkcs12_encryption),
        )


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


class RevokeCertificate(RequestModel):
    """certificateHold can be released, all others are for good."""

    reason: RevocableFor = "unspecified"
    comment: Annotated[str, Field(max_length=MAX_COMMENT_LENGTH)] | None = None


class ReleaseCertificate(RequestModel):
    """Nothing can be said along with a release."""


def idempotency_key(header: str | None) -> str | None:
    """The header `Idempotency-Key` as it came. A comma is what the host puts between the values of two headers.

    Raises: MalformedIdempotencyKey.
    """
    if header is not None and not IDEMPOTENCY_KEY.fullmatch(header):
        raise MalformedIdempotencyKey(
            "The Idempotency-Key header must come once, with 1 to 255 visible ASCII characters and no comma."
        )
    return header


class ValidateToken(RequestModel):
    token: Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_LENGTH)]
    audience: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    expected_type: Literal["access", "id"] | None = None


class Paged(QueryModel):
    per_page: Annotated[QueryInt, Field(ge=1, le=100)] = 15
    page: Annotated[QueryInt, Field(ge=1, le=MAX_ID)] = 1

    @model_validator(mode="before")
    @classmethod
    def _empty_means_absent(cls, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Laravel's TrimStrings and ConvertEmptyStringsToNull; an empty `recently_synced` means a day."""
        trimmed = {name: value.strip(" ") for name, value in parameters.items()}
        present = {name: value for name, value in trimmed.items() if value != ""}
        if trimmed.get("recently_synced") == "":
            present["recently_synced"] = "24"
        return present


def _searchable(text: str) -> str:
    """What folds to nothing, such as accents alone, would be found in every name."""
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise wrong("must not have control characters.")
    if not fold(text).strip():
        raise wrong("has nothing that can be searched for.")
    return text


class ListUsers(Paged):
    active: QueryBool | None = None
    recently_synced: Annotated[QueryInt, Field(ge=1, le=MAX_HOURS)] | None = None
    search: Annotated[str, Field(max_length=MAX_SEARCH_LENGTH), AfterValidator(_searchable)] | None = None
    sort: Literal["id", "name", "synced_at"] = "id"

    def as_query(self, now: datetime) -> UserQuery:
        since = now - timedelta(hours=self.recently_synced) if self.recently_synced is not None else None
        return UserQuery(
            active=self.active,
            synced_since=since,
            search=self.search,
            page=self.page,
            per_page=self.per_page,
            sort=self.sort,
        )


class ListExpiringCertificates(Paged):
    within_days: Annotated[QueryInt, Field(ge=1, le=MAX_NOTICE_DAYS)] = 30
    user: Annotated[QueryInt, Field(ge=1, le=MAX_ID)] | None = None
    type: CertificateType | None = None

    def as_query(self) -> ExpiringCertificates:
        return ExpiringCertificates(
            within=timedelta(days=self.within_days),
            user_id=self.user,
            certificate_type=RecordedType(self.type) if self.type else None,
            page=self.page,
            per_page=self.per_page,
        )


class ListCertificates(Paged):
    user: Annotated[QueryInt, Field(ge=1, le=MAX_ID)] | None = None
    status: Literal["pending", "active", "held", "revoked", "expired"] | None = None
    type: CertificateType | None = None
    expiring_within_days: Annotated[QueryInt, Field(ge=1, le=MAX_VALIDITY_DAYS)] | None = None

    def as_query(self) -> CertificateQuery:
        return CertificateQuery(
            user_id=self.user,
            status=EffectiveStatus(self.status) if self.status else None,
            certificate_type=RecordedType(self.type) if self.type else None,
            expiring_within=timedelta(days=self.expiring_within_days) if self.expiring_within_days else None,
            page=self.page,
            per_page=self.per_page,
        )
