"""Certificates, as lists and single views show them."""

import ssl
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field

from shared.api.resources.base import Resource
from shared.api.resources.pages import Paginator
from shared.directory.records.certificate import Certificate
from shared.directory.replica.queries import CertificateSummary, Page, effective_status

if TYPE_CHECKING:  # only to annotate: a cold start must not import what its first request does not use
    from shared.pki.certificate_view import CertificateView


class CertificateSummaryResource(Resource):
    """A certificate as lists show it."""

    id: int
    user_id: int | None
    type: Literal["entra_user"] = "entra_user"
    certificate_type: str | None
    status: str = Field(description="pending, active, expired, held or revoked, at the moment of the reply")
    serial_number: str
    subject: str
    issuer: str
    issuer_id: str
    not_before: datetime
    not_after: datetime
    key_type: str
    key_size: int
    fingerprint_sha256: str | None
    revoked_at: datetime | None
    revocation_reason: str | None
    renews: int | None = Field(description="the certificate in whose place this one was issued")
    renewed_by: int | None = Field(description="the last certificate ordered in the place of this one")

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

    pem: str | None = Field(description="null while pending")
    chain_pem: str
    entra_certificate_user_ids: Mapping[str, str]

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
