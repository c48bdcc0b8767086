"""Issuers: the CA's own certificates, each with the key that it is bound to."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from shared.directory.records.base import Record


class IssuerStatus(StrEnum):
    PENDING = "pending"
    """Its key exists; its own certificate is about to be signed here."""
    REQUESTED = "requested"
    """Its key exists; its certificate is awaited from another CA (a request was exported)."""
    PUBLISHED = "published"
    """To be trusted already, not issuing yet: the first step of a rollover."""
    ACTIVE = "active"
    """Issues certificates. At most one issuer does."""
    RETIRED = "retired"
    """Issues no certificates any more, still signs its CRLs and OCSP responder certificates."""


@dataclass(frozen=True, kw_only=True)
class Issuer(Record):
    """One issuing key with its certificate. The key and its certificate are never replaced, only followed by others."""

    KIND: ClassVar[str] = "issuer"
    REPLICATED: ClassVar[tuple[str, ...]] = ("id", "status", "subject", "not_before", "not_after", "fingerprint")

    id: str
    """The first 16 hex digits of the subject key identifier: part of the URLs in certificates."""
    status: IssuerStatus
    subject: str
    """RFC 4514."""
    subject_der: bytes
    """The name as encoded in the issuer's certificate: what certificates and CRLs repeat byte by byte."""
    key_type: str
    """`shared.pki.keys.KeyType`."""
    public_key: bytes
    """SubjectPublicKeyInfo, DER."""
    backend: str
    """The name of the signing backend that holds the key."""
    key_reference: str
    """The backend's pinned name for the key."""

    tbs: bytes | None = None
    """While `pending`: the TBSCertificate that may be signed."""
    request: bytes | None = None
    """Where another CA signs: the PKCS#10 request, DER."""
    der: bytes | None = None
    fingerprint: str | None = None
    """SHA-256 of `der`, lower-case hex."""
    parents_pem: str | None = None
    """The certificates above it, PEM, its own issuer first and the root last; None if self-signed."""
    not_before: datetime | None = None
    not_after: datetime | None = None

    created_at: datetime
    updated_at: datetime
    activated_at: datetime | None = None
    retired_at: datetime | None = None

    @property
    def key(self) -> str:
        return issuer_key(self.id)


def issuer_key(issuer_id: str) -> str:
    return f"issuer|{issuer_id}"
