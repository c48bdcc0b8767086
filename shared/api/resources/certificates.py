"""Certificates, as lists and single views show them."""

import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from shared.api.resources.base import Resource
from shared.api.resources.pages import Paginator
from shared.directory.records.certificate import Certificate, CertificateType, RevocationReason
from shared.directory.replica.queries import CertificateSummary, EffectiveStatus, Page, effective_status

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.pki.certificate_view import CertificateView


class CertificateSummaryResource(Resource):
    """A certificate as lists show it."""

    id: int = Field(examples=[7])
    user_id: int | None = Field(description="its owner", examples=[1])
    type: Literal["entra_user"] = "entra_user"
    certificate_type: CertificateType | None = Field(examples=["client_auth"])
    status: EffectiveStatus = Field(description="at the moment of the reply", examples=["active"])
    serial_number: str = Field(description="hex", examples=["26c075d4dfe27d8a7d79fff70d2d425c66f948d5"])
    subject: str = Field(examples=["CN=Ada Lovelace"])
    issuer: str = Field(examples=["CN=Contoso User CA"])
    issuer_id: str = Field(description="as in the addresses of its CRLs", examples=["5a0c9f3e1b2d4c68"])
    not_before: datetime = Field(examples=["2026-11-23T08:31:25Z"])
    not_after: datetime = Field(description="the last second in which it is valid", examples=["2027-11-23T08:31:24Z"])
    key_type: str = Field(examples=["RSA-2048"])
    key_size: int = Field(description="bits", examples=[2048])
    fingerprint_sha256: str | None = Field(
        description="hex; null while pending",
        examples=["a8d1c679095aed20cad64a61ed475fb87d514ea950351397d865204c1b539c30"],
    )
    revoked_at: datetime | None = Field(description="since when it is revoked or on hold", examples=[None])
    revocation_reason: RevocationReason | None = Field(description="RFC 5280 5.3.1", examples=[None])
    renews: int | None = Field(description="the certificate in whose place this one was issued", examples=[None])
    renewed_by: int | None = Field(description="the last certificate ordered in the place of this one", examples=[None])

    @classmethod
    def of(cls, certificate: Certificate | CertificateSummary, now: datetime) -> Self:
        return cls(**cls.members_of(certificate, now))

    @classmethod
    def members_of(cls, certificate: Certificate | CertificateSummary, now: datetime) -> dict[str, Any]:
        return {
            "id": certificate.id,
            "user_id": certificate.user_id,
            "certificate_type": certificate.certificate_type,
            "status": effective_status(certificate.status, certificate.not_after, now),
            "serial_number": certificate.serial_number,
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "issuer_id": certificate.issuer_id,
            "not_before": certificate.not_before,
            "not_after": certificate.not_after,
            "key_type": certificate.key_type,
            "key_size": certificate.key_size,
            "fingerprint_sha256": certificate.fingerprint,
            "revoked_at": certificate.revoked_at,
            "revocation_reason": certificate.revocation_reason,
            "renews": certificate.renews,
            "renewed_by": certificate.renewed_by,
        }


class CertificateResource(CertificateSummaryResource):
    """A certificate with its bytes."""

    pem: str | None = Field(description="null while pending", examples=["-----BEGIN CERTIFICATE-----\n…"])
    chain_pem: str = Field(
        description="the issuer's certificate and those above it", examples=["-----BEGIN CERTIFICATE-----\n…"]
    )
    entra_certificate_user_ids: Mapping[str, str] = Field(
        description="values for the user's certificateUserIds in Entra ID, by the binding they are for",
        examples=[{"principal_name": "X509:<PN>ada@contoso.example"}],
    )

    @classmethod
    def with_chain(cls, certificate: Certificate, chain_pem: str, user_ids: Mapping[str, str], now: datetime) -> Self:
        pem = ssl.DER_cert_to_PEM_cert(certificate.der) if certificate.der else None
        return cls(
            **cls.members_of(certificate, now), pem=pem, chain_pem=chain_pem, entra_certificate_user_ids=user_ids
        )


class CertificateDetail(Resource):
    certificate: CertificateResource

    @classmethod
    def of(cls, found: "CertificateView", now: datetime) -> Self:
        return cls(certificate=CertificateResource.with_chain(found.certificate, found.chain_pem, found.user_ids, now))


class RevokedCertificate(Resource):
    certificate: CertificateSummaryResource

    @classmethod
    def of(cls, certificate: Certificate, now: datetime) -> Self:
        return cls(certificate=CertificateSummaryResource.of(certificate, now))


class CertificatePage(Paginator):
    data: list[CertificateSummaryResource]

    @classmethod
    def of(cls, page: Page[CertificateSummary], url: str, now: datetime) -> Self:
        """`url` is the request's."""
        return cls.with_items([CertificateSummaryResource.of(each, now) for each in page.items], page, url)
