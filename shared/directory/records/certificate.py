"""Certificates, from the reservation before the signature to the end, and what makes them unique and findable."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from shared.context import ActorKind
from shared.directory.records.base import Record, format_time

MAX_COMMENT_LENGTH = 500
"""Characters of a `revocation_comment`."""


class CertificateKind(StrEnum):
    """Whom a certificate is for."""

    ENTRA_USER = "entra_user"
    OCSP_RESPONDER = "ocsp_responder"
    """The CA's own; not in lists or statistics."""


class CertificateType(StrEnum):
    """The profile of a user's certificate."""

    CLIENT_AUTH = "client_auth"
    EMAIL_PROTECTION = "email_protection"
    CODE_SIGNING = "code_signing"


class CertificateStatus(StrEnum):
    PENDING = "pending"
    """Reserved: about to be signed, or possibly signed by a process that died."""
    ISSUED = "issued"
    HELD = "held"
    """On certificateHold: revoked until lifted."""
    REVOKED = "revoked"


class KeyOrigin(StrEnum):
    CSR = "csr"
    """The requester made the key and keeps it."""
    SERVER = "server"
    """This app made the key, handed it out once and forgot it."""


class RevocationReason(StrEnum):
    """RFC 5280 5.3.1, by its names there; `removeFromCRL` is for delta CRLs, which there are none of."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    AA_COMPROMISE = "aACompromise"


class RevocationSource(StrEnum):
    """Who took a certificate away; only a hold that the directory put is lifted by the directory."""

    REQUEST = "request"
    DIRECTORY = "directory"
    SWEEPER = "sweeper"
    """The reservation was never confirmed: the certificate may or may not exist."""
    RENEWAL = "renewal"
    """Another certificate took its place, and the overlap is over."""


@dataclass(frozen=True, kw_only=True)
class Certificate(Record):
    """One certificate. Inserted as `pending` before anything is signed; what was signed is always one of these."""

    KIND: ClassVar[str] = "cert"
    SEQUENCE: ClassVar[str | None] = "certificate"
    REPLICATED: ClassVar[tuple[str, ...]] = (
        "id",
        "kind",
        "user_id",
        "certificate_type",
        "status",
        "issuer_id",
        "issuer",
        "serial_number",
        "subject",
        "not_before",
        "not_after",
        "key_type",
        "key_size",
        "key_origin",
        "user_principal_name",
        "email",
        "fingerprint",
        "issued_at",
        "revoked_at",
        "revocation_reason",
        "revocation_source",
        "created_at",
        "updated_at",
        "renews",
        "renewed_by",
        "notice_days",
        "noticed_at",
    )

    id: int
    kind: CertificateKind = CertificateKind.ENTRA_USER
    user_id: int | None = None
    """The owner; None for the CA's own certificates."""
    certificate_type: CertificateType | None = None
    status: CertificateStatus
    issuer_id: str
    issuer: str
    """The issuer's name, RFC 4514."""
    serial_number: str
    """Lower-case hex, an even number of digits, as OpenSSL prints it."""
    subject: str
    """RFC 4514."""
    not_before: datetime
    not_after: datetime
    """The last second in which it is valid (RFC 5280 4.1.2.5: inclusive)."""
    key_type: str
    """`shared.pki.keys.KeyType`."""
    key_size: int
    """Bits of the RSA modulus or of the curve."""
    key_origin: KeyOrigin
    public_key_sha256: str
    """SHA-256 of the SubjectPublicKeyInfo, lower-case hex."""

    user_principal_name: str | None = None
    """As the certificate says it; None where the certificate has no UPN."""
    email: str | None = None
    """As the certificate says it; None where the certificate has no mail address."""
    security_identifier: str | None = None
    """As the certificate says it; None where the certificate has no SID."""

    requester_kind: ActorKind
    requester_id: str
    requester_name: str = ""

    tbs_sha256: str
    """SHA-256 of the TBSCertificate, lower-case hex: what was allowed to be signed."""
    tbs: bytes | None = None
    """The TBSCertificate, until `der` holds it."""
    sign_before: datetime
    """Nothing is signed for this reservation from then on; so it is also the lease of the process that signs."""
    der: bytes | None = None
    """The certificate, once signed and verified."""
    fingerprint: str | None = None
    """SHA-256 of `der`, lower-case hex."""
    issued_at: datetime | None = None

    revoked_at: datetime | None = None
    """Since when it is revoked or held."""
    revocation_reason: RevocationReason | None = None
    revocation_source: RevocationSource | None = None
    revocation_comment: str | None = None

    renews: int | None = None
    """The certificate in whose place this one was ordered."""
    renewed_by: int | None = None
    """The last certificate ordered in the place of this one. It counts while that one is not revoked."""
    notice_days: int | None = None
    """The last expiry notice was the one for so many days before the end; None: none yet."""
    noticed_at: datetime | None = None

    created_at: datetime
    updated_at: datetime

    @property
    def key(self) -> str:
        return certificate_key(self.id)

    def is_live(self, now: datetime) -> bool:
        """Whether it can still do harm: signed or possibly signed, not revoked for good, and not expired."""
        return self.status is not CertificateStatus.REVOKED and now <= self.not_after


@dataclass(frozen=True, kw_only=True)
class PendingCertificate(Record):
    """Finds the reservations that nobody has confirmed yet: `pending|<certificate>`. Gone with the `pending` status."""

    KIND: ClassVar[str] = "pending"

    certificate_id: int
    created_at: datetime

    @property
    def key(self) -> str:
        return pending_certificate_key(self.certificate_id)


@dataclass(frozen=True, kw_only=True)
class UserCertificate(Record):
    """Finds the certificates of a user: `ucert|<user>|<certificate>`."""

    KIND: ClassVar[str] = "ucert"

    user_id: int
    certificate_id: int
    not_after: datetime

    @property
    def key(self) -> str:
        return f"{user_certificates_prefix(self.user_id)}{self.certificate_id:010d}"


@dataclass(frozen=True, kw_only=True)
class SerialNumber(Record):
    """The uniqueness of serial numbers, and the way from one to its certificate."""

    KIND: ClassVar[str] = "serial"

    serial_number: str
    certificate_id: int

    @property
    def key(self) -> str:
        return serial_number_key(self.serial_number)


@dataclass(frozen=True, kw_only=True)
class CertifiedKey(Record):
    """Whose a public key is, from its first certificate on: nobody else gets it certified."""

    KIND: ClassVar[str] = "key"

    public_key_sha256: str
    user_id: int | None = None
    """None: the CA's own."""
    compromised: bool = False
    """A certificate of it was revoked for keyCompromise."""

    @property
    def key(self) -> str:
        return certified_key_key(self.public_key_sha256)


@dataclass(frozen=True, kw_only=True)
class Succession(Record):
    """`succession|<time>|<certificate>`: from that time on the certificate's renewal stands alone."""

    KIND: ClassVar[str] = "succession"

    due_at: datetime
    certificate_id: int
    renewed_by: int

    @property
    def key(self) -> str:
        return f"{successions_until(self.due_at)}|{self.certificate_id:010d}"


@dataclass(frozen=True, kw_only=True)
class RevocationBacklog(Record):
    """`revoking|<user>`: this user's certificates count as revoked or held, though not each record says so yet."""

    KIND: ClassVar[str] = "revoking"

    user_id: int

    @property
    def key(self) -> str:
        return revocation_backlog_key(self.user_id)


def successions_until(moment: datetime) -> str:
    """The end of the key range of those that are due before `moment`."""
    return f"succession|{format_time(moment)}"


def revocation_backlog_key(user_id: int) -> str:
    return f"revoking|{user_id:010d}"


def certificate_key(certificate_id: int) -> str:
    return f"cert|{certificate_id:010d}"


def pending_certificate_key(certificate_id: int) -> str:
    return f"pending|{certificate_id:010d}"


def user_certificates_prefix(user_id: int) -> str:
    return f"ucert|{user_id:010d}|"


def serial_number_key(serial_number: str) -> str:
    return f"serial|{serial_number}"


def certified_key_key(public_key_sha256: str) -> str:
    return f"key|{public_key_sha256}"
