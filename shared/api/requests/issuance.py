"""Certificates to be issued: for whom, for how long, for whose key."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from shared.api.validation import LocalId, RequestModel, wrong
from shared.directory.records.certificate import CertificateType as RecordedType
from shared.settings import KEY_SIZES, MAX_VALIDITY_DAYS

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.pki.issuance.order import Order
    from shared.pki.issuance.renewal import RenewalOrder

MAX_CSR_LENGTH = 20_000

CertificateType = Literal["client_auth", "email_protection", "code_signing"]

KEY_RULES: list[JsonValue] = [
    {
        "if": {"properties": {"csr": {"type": "string"}}, "required": ["csr"]},
        "then": {
            "properties": {
                "key_size": {"type": "null"},
                "pkcs12_password": {"type": "null"},
                "format": {"const": "pem"},
            }
        },
    },
    {
        "if": {"properties": {"pkcs12_encryption": {"const": "legacy"}}, "required": ["pkcs12_encryption"]},
        "then": {"properties": {"format": {"const": "pkcs12"}}, "required": ["format"]},
    },
]
"""What the validators of `CertificateForm` say of fields that exclude each other, as JSON Schema."""

EXAMPLE_CSR = """-----BEGIN CERTIFICATE REQUEST-----
MIHMMHQCAQAwEjEQMA4GA1UEAwwHZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49
AwEHA0IABHGY887hb7tWGMw7som/vDe6yRqckvKKK1rvw+5QSeI7dhKP7GvjZSPk
VX4RZ9dKEr1YjqnVfspQXBE4cOuz1mOgADAKBggqhkjOPQQDAgNIADBFAiAfIB/u
n9CZnsk5X3JaUejbScOf+cH4vV6yyJ91n+nRdgIhANF6kNh0Ax9xKsWRC86k3FIK
48bdYBABdU3Lo3p3Fdc1
-----END CERTIFICATE REQUEST-----
"""
EXAMPLE_FORMS: list[dict[str, JsonValue]] = [
    {"validity_days": 90, "key_size": 3072},
    {"csr": EXAMPLE_CSR},
    {"format": "pkcs12", "pkcs12_password": "correct horse battery staple"},
]


def _offered_key_size(value: int) -> int:
    if value not in KEY_SIZES:
        raise PydanticCustomError("selected", "not offered")
    return value


def _printable_ascii(password: str) -> str:
    if not password.isascii() or not password.isprintable():
        raise wrong("must be printable ASCII: PKCS#12 readers disagree about all other characters.")
    return password


KeySize = Annotated[
    int, AfterValidator(_offered_key_size), WithJsonSchema({"type": "integer", "enum": list(KEY_SIZES)})
]
Pkcs12Password = Annotated[
    str,
    Field(min_length=16, max_length=128),
    AfterValidator(_printable_ascii),
    WithJsonSchema({"type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[ -~]*$"}),
]


class CertificateOwner(RequestModel):
    """Whom a certificate is for, and what for."""

    user_id: LocalId = Field(description="the local id of a user copied from Entra ID", examples=[1])
    certificate_type: CertificateType = "client_auth"


class CertificateForm(RequestModel):
    """How long a certificate is to be valid, whose key it is for, and how a key made here is handed out."""

    validity_days: Annotated[int, Field(ge=1, le=MAX_VALIDITY_DAYS)] | None = Field(
        default=None, description="left out: as is usual here", examples=[90]
    )
    key_size: KeySize | None = Field(default=None, description="bits of the RSA key to make here")
    csr: Annotated[str, Field(min_length=1, max_length=MAX_CSR_LENGTH)] | None = Field(
        default=None, description="a PKCS#10 request, PEM: the certificate is for its key, which never comes here"
    )
    format: Literal["pem", "pkcs12"] = Field(default="pem", description="of the private key made here")
    pkcs12_password: Pkcs12Password | None = Field(
        default=None,
        description="printable ASCII; encrypts the private key in either format. Left out, one is made for pkcs12",
    )
    pkcs12_encryption: Literal["modern", "legacy"] = Field(
        default="modern", description="legacy (3DES, SHA-1) for readers that know nothing newer"
    )

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

    model_config = ConfigDict(
        json_schema_extra={"allOf": KEY_RULES, "examples": [{"user_id": 1, **form} for form in EXAMPLE_FORMS]}
    )

    def as_order(self, *, default_validity_days: int, default_key_size: int) -> "Order":
        """With the settings' defaults for what the request leaves open."""
        from shared.pki.issuance.order import KeyFormat, Order, Pkcs12Encryption

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

    model_config = ConfigDict(json_schema_extra={"allOf": KEY_RULES, "examples": [*EXAMPLE_FORMS]})

    def as_order(self, certificate_id: int) -> "RenewalOrder":
        from shared.pki.issuance.order import KeyFormat, Pkcs12Encryption
        from shared.pki.issuance.renewal import RenewalOrder

        return RenewalOrder(
            certificate_id=certificate_id,
            validity_days=self.validity_days,
            key_size=self.key_size,
            csr=self.csr,
            format=KeyFormat(self.format),
            pkcs12_password=self.pkcs12_password,
            pkcs12_encryption=Pkcs12Encryption(self.pkcs12_encryption),
        )
