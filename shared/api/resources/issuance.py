"""A certificate just issued, with its private key where it was made here."""

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Self

from pydantic import Field

from shared.api.resources.base import Resource
from shared.api.resources.certificates import CertificateResource
from shared.api.resources.users import UserSummaryResource

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.pki.issuance.order import Issued


class ProvisionedCertificate(Resource):
    """The private key, where it was made here, is in this reply only."""

    certificate: CertificateResource
    user: UserSummaryResource
    private_key: str | None = Field(
        default=None,
        description="PKCS#8 PEM; encrypted if a password was given",
        examples=["-----BEGIN PRIVATE KEY-----\n…"],
    )
    pkcs12: str | None = Field(default=None, description="base64", examples=[None])
    pkcs12_password: str | None = Field(default=None, description="only where it was made here", examples=[None])
    private_key_available: bool = Field(description="whether this reply has the private key")
    warnings: tuple[str, ...] = Field(description="what is legal but unwise about it, in sentences")

    @classmethod
    def of(cls, issued: "Issued", now: datetime) -> Self:
        return cls(
            certificate=CertificateResource.with_chain(issued.certificate, issued.chain_pem, issued.user_ids, now),
            user=UserSummaryResource(**UserSummaryResource.members_of(issued.user)),
            private_key=issued.private_key_pem,
            pkcs12=base64.b64encode(issued.pkcs12).decode() if issued.pkcs12 else None,
            pkcs12_password=issued.pkcs12_password,
            private_key_available=bool(issued.private_key_pem or issued.pkcs12),
            warnings=issued.warnings,
        )
