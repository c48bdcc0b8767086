"""The models of what requests bring: one per function, validated by `shared.api.validation`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from shared.api.validation import QueryBool, QueryInt, QueryModel, RequestModel, UserPrincipalName, wrong
from shared.settings import KEY_SIZES, MAX_VALIDITY_DAYS

MAX_TOKEN_LENGTH = 200_000
MAX_SEARCH_LENGTH = 100
MAX_BULK = 50
MAX_CSR_LENGTH = 20_000
MAX_ID = 2**31 - 1
MAX_HOURS = 10 * 365 * 24

CertificateType = Literal["client_auth", "email_protection", "code_signing"]


class SyncUser(RequestModel):
    user_principal_name: UserPrincipalName


class BulkSyncUsers(RequestModel):
    user_principal_names: Annotated[list[UserPrincipalName], Field(min_length=1, max_length=MAX_BULK)]


def _offered_key_size(value: int) -> int:
    if value not in KEY_SIZES:
        raise PydanticCustomError("selected", "not offered")
    return value


class ProvisionCertificate(RequestModel):
    """Beyond the fields of the original: a CSR instead of a key made here, and PKCS#12 instead of PEM."""

    user_id: Annotated[int, Field(ge=1, le=MAX_ID)]
    certificate_type: CertificateType = "client_auth"
    validity_days: Annotated[int, Field(ge=1, le=MAX_VALIDITY_DAYS)] | None = None
    key_size: Annotated[int, AfterValidator(_offered_key_size)] | None = None
    csr: Annotated[str, Field(min_length=1, max_length=MAX_CSR_LENGTH)] | None = None
    format: Literal["pem", "pkcs12"] = "pem"
    pkcs12_password: Annotated[str, Field(min_length=16, max_length=128)] | None = None
    pkcs12_encryption: Literal["modern", "legacy"] = "modern"

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
        """Laravel's ConvertEmptyStringsToNull; only `recently_synced` has a meaning when empty: a day."""
        present = {name: value for name, value in parameters.items() if value != ""}
        if parameters.get("recently_synced") == "":
            present["recently_synced"] = "24"
        return present


class ListUsers(Paged):
    active: QueryBool | None = None
    recently_synced: Annotated[QueryInt, Field(ge=1, le=MAX_HOURS)] | None = None
    search: Annotated[str, Field(max_length=MAX_SEARCH_LENGTH)] | None = None
    sort: Literal["id", "name", "synced_at"] = "id"


class ListCertificates(Paged):
    user: Annotated[QueryInt, Field(ge=1, le=MAX_ID)] | None = None
    status: Literal["pending", "active", "held", "revoked", "expired"] | None = None
    type: CertificateType | None = None
    expiring_within_days: Annotated[QueryInt, Field(ge=1, le=MAX_VALIDITY_DAYS)] | None = None
