"""An issuer for an operator's eyes: what it is, how long it lasts, and what to enter about it in Entra."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.directory.records.issuer import Issuer, IssuerStatus
from shared.pki.authority.issuer_material import IssuerMaterial
from shared.pki.urls import ca_certificate_url, crl_url, ocsp_url


@dataclass(frozen=True)
class IssuerReport:
    """Everything public. What a certificate would tell is None while there is no certificate yet.

    Attributes:
        longest_validity_days: what a certificate issued today could have at most.
        subject_key_identifier, thumbprint_sha1, thumbprint_sha256: upper-case hex, as Entra and Windows show them.
    """

    id: str
    status: IssuerStatus
    subject: str
    key_type: str
    backend: str
    key_reference: str
    not_before: datetime | None = None
    not_after: datetime | None = None
    longest_validity_days: int | None = None
    subject_key_identifier: str | None = None
    thumbprint_sha1: str | None = None
    thumbprint_sha256: str | None = None
    signed_by: str | None = None
    ca_certificate_url: str | None = None
    crl_url: str | None = None
    ocsp_url: str | None = None


def issuer_report(record: Issuer, public_url: str | None, now: datetime) -> IssuerReport:
    """`public_url`: the base of the addresses in certificates; None leaves them out."""
    common = {
        "id": record.id,
        "status": record.status,
        "subject": record.subject,
        "key_type": record.key_type,
        "backend": record.backend,
        "key_reference": record.key_reference,
    }
    if record.der is None:
        return IssuerReport(**common)  # type: ignore[arg-type]  # each of its own type
    material = IssuerMaterial.of(record)
    return IssuerReport(
        **common,  # type: ignore[arg-type]  # each of its own type
        not_before=material.not_before,
        not_after=material.not_after,
        longest_validity_days=max(timedelta(0), material.not_after - now).days,
        subject_key_identifier=material.key_identifier.digest.hex().upper(),
        thumbprint_sha1=hashlib.sha1(material.der, usedforsecurity=False).hexdigest().upper(),
        thumbprint_sha256=hashlib.sha256(material.der).hexdigest().upper(),
        signed_by=material.certificate.issuer.rfc4514_string() if material.parents else None,
        ca_certificate_url=ca_certificate_url(public_url, record.id) if public_url else None,
        crl_url=crl_url(public_url, record.id) if public_url else None,
        ocsp_url=ocsp_url(public_url, record.id) if public_url else None,
    )
